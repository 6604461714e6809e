"""Every block of code in the documentation is understood, and is run by a test or says what it needs."""

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from datasetdm.cli import main
from datasetdm.config import Benchmark, Params, Section, TaskSection
from docs.make.commands import commands as commands_of
from docs.make.settings import inner_sections, sections
from orchestration.engines import SCHEMA
from tests.datasets.importing.builders import coco, pictures, write
from tests.docs.blocks import NEEDS, PAGES, ROOT, Block, blocks, commands
from tests.docs.checks import CHECKS, NEEDED_BY, check, command_parser

GENERATED = ("docs/commands.md",)
BLOCKS = [block for block in blocks() if block.page not in GENERATED]
#: The tests that run the Python blocks of a page as they stand there.
RUN_BY = {
    "docs/serving.md": "tests/downstream/test_serving.py",
    "docs/reproduce.md": "tests/diffusion/test_reproduce.py",
}
#: Where the names in the definitions of docs/extending.md come from. tests/extending/ has them in full, and runs them.
EXTENSIONS = (
    "datasetdm.arms",
    "datasetdm.layouts",
    "datasetdm.task_parts",
    "datasetdm.datasets.exporting.formats",
    "datasetdm.downstream.architectures.detection",
    "datasetdm.downstream.architectures.dense",
    "tests.extending.surface_normals",
    "tests.extending.pixart_alpha",
)
#: How blocks begin that are neither code nor commands: what a program prints, and the tree of folders.
PROSE = ("pets: COCO JSON", "datasetdm/\n", "warning: ", "pixels        equal", "[PNG]")


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_there_are_blocks_of_every_language() -> None:
    assert len(of("shell")) > 30 and len(of("python")) > 8 and len(of("yaml")) > 8
    assert {block.needs for block in BLOCKS} == {"", *NEEDS}


@pytest.mark.parametrize("block", of("text"), ids=str)
def test_a_block_of_no_language_is_known(block: Block) -> None:
    """A new block that is neither recognised nor listed here is neither checked nor run."""
    assert block.text.startswith(PROSE), f"{block}: name its language (```sh, ```python, ```yaml), or list it in PROSE"


@pytest.mark.parametrize("block", of("shell"), ids=str)
def test_a_command_is_understood(block: Block) -> None:
    found = list(commands(block))
    assert found, f"{block} has no command"
    for command in found:
        program = command[0].removeprefix(".venv/bin/")
        assert program in CHECKS, f"{block}: no check knows {program}"
        assert program not in NEEDED_BY or block.needs == NEEDED_BY[program], f"{block}: mark what {program} needs"
        check(command)


@pytest.mark.parametrize(
    "block", [block for block in of("python") if block.page != "docs/extending.md" and not block.needs], ids=str
)
def test_python_is_run_by_a_test(block: Block) -> None:
    compile(block.text, str(block), "exec")
    assert Path(block.page).name in (ROOT / RUN_BY[block.page]).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [block for block in of("python") if block.page == "docs/extending.md"], ids=str)
def test_a_definition_can_be_made(block: Block) -> None:
    names: dict[str, Any] = {}
    for module in EXTENSIONS:
        names |= vars(import_module(module))
    text = block.text.replace("    ...\n", "")  # the entries that are there already
    code = f"entry = {{{text}}}" if text.startswith('"') else text
    exec(compile(f"from __future__ import annotations\n{code}", str(block), "exec"), names)


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_settings_exist(block: Block) -> None:
    content = YAML(typ="safe", pure=True).load(textwrap.dedent(block.text))
    if "execution" in content:  # the configuration of a run of Dagster
        assert list(content) == ["execution"] and set(content["execution"]["config"]) <= set(SCHEMA), block
        return
    assert any(_fits(content, kind) for _, kind in sections()), f"{block}: a setting is in no section"


@pytest.mark.parametrize("page", PAGES)
def test_a_setting_in_the_text_exists(page: str) -> None:
    """`synthesis.filter.min_area`, and the like."""
    text = (ROOT / page).read_text(encoding="utf-8")
    known = set(_paths())
    roots = {path.split(".")[0] for path in known}
    named = [path for path in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:: [^`]*)?`", text) if path.split(".")[0] in roots]
    assert not [path for path in named if path not in known and not path.endswith((".md", ".py", ".yaml", ".csv"))]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_a_command_in_the_text_exists(page: str) -> None:
    """`datasetdm run <benchmark> --dry-run`, `make docs`, and the like, perhaps without their arguments."""
    known = commands_of(command_parser())
    for line in re.findall(
        r"(?<!`)`(?:\.venv/bin/|python -m )?(datasetdm [^`]+|make [^`]+)`(?!`)", (ROOT / page).read_text()
    ):
        program, *words = shlex.split(line)
        if program == "make":
            check(["make", *words])
        elif words[0] in known:
            options = {flag for action in known[words[0]]._actions for flag in action.option_strings}
            assert {word for word in words if word.startswith("--")} <= options, line
        else:
            assert words[0].startswith(("-", "<")), line


def test_the_first_steps_with_own_data_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tutorial's commands up to the first that needs the diffusion model, which is not on this machine."""
    shutil.copytree(ROOT / "params", tmp_path / "project" / "params")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    write(tmp_path / "exports" / "toys" / "labels.json", coco(pictures(tmp_path / "exports" / "toys", 40)))
    ended = {}
    for block in of("shell"):
        if block.page == "docs/tutorial-own-data.md" and not block.needs:
            for program, *words in commands(block):
                words = [word.replace("~", str(tmp_path)) for word in words]
                if program == "cp":
                    shutil.copy(*words)
                elif program.endswith("datasetdm"):
                    ended[words[0]] = main(words)
    said = capsys.readouterr()
    assert ended == {"import": 0, "validate": 0, "ingest": 2, "predict": 2}, said.err
    assert "40 images" in said.out and "downloaded at first use" in said.out
    assert "the hub cannot be reached" in said.err


@pytest.mark.parametrize("name", [None, *commands_of(command_parser())])
def test_help_is_printed(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/terminal.md: a bare call, and `--help` of every command."""
    if name is None:
        assert main([]) == 0
    else:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
    assert "usage: datasetdm" in capsys.readouterr().out


def _fits(content: object, kind: type[Section]) -> bool:
    """Whether a mapping has nothing but settings of a section, however deep."""
    if not isinstance(content, dict) or not content.keys() <= kind.model_fields.keys():
        return False
    inner = dict(_blocks_in(kind))
    return all(
        _fits(value, inner[name]) for name, value in content.items() if isinstance(value, dict) and name in inner
    )


def _blocks_in(kind: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for inner, where in inner_sections("", kind):
        yield where.rsplit(".", 1)[-1], inner


def _paths() -> Iterator[str]:
    """Every setting and section by its path, such as `synthesis.filter.min_area`; also below `benchmarks.coco`."""
    for path, kind in sections():
        if kind is not Params and kind is not Benchmark:
            yield path
        for name in kind.model_fields:
            yield f"{path}.{name}" if path else name
    for task in TaskSection.__subclasses__():
        yield from (f"task.{name}" for name in task.model_fields)
