"""Whether a documented command is one that the program in question understands. Nothing is run."""

import contextlib
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from datasetdm.cli.app import command_parser
from datasetdm.config import load_params
from datasetdm.config.benchmark import ASSETS
from orchestration.engines import SCHEMA

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BENCHMARKS = {*load_params(ROOT / "params.yaml").benchmarks, *load_params(ROOT / "params" / "paper.yaml").benchmarks}
IMPORTED = {"toys", "pets"}  # what readers import in the tutorials
PLACEHOLDERS = {"benchmark": "coco", "command": "run", "folder": "photos"}


def check(command: Sequence[str]) -> None:
    """Raise AssertionError if a command would not be understood, KeyError if nothing is known of its program."""
    program, *arguments = command
    CHECKS[program.removeprefix(".venv/bin/")]([PLACEHOLDERS.get(word, word) for word in arguments])


def _datasetdm(arguments: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            options = command_parser().parse_args(arguments)
        except SystemExit as end:
            if end.code:
                raise AssertionError(said.getvalue()) from None
            return
    benchmark = getattr(options, "benchmark", None)
    assert benchmark is None or benchmark in BENCHMARKS | IMPORTED, benchmark


def _make(arguments: list[str]) -> None:
    targets = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    for word in arguments:
        variable, is_setting, _ = word.partition("=")
        assert re.search(rf"\b{variable}\b", MAKEFILE) if is_setting else word in targets, word


def _python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert find_spec(arguments[1]), arguments[1]
        if arguments[1] == "datasetdm":
            _datasetdm(arguments[2:])
    else:
        assert (ROOT / arguments[0]).is_file(), arguments[0]
    _named_files(arguments)


def _dvc(arguments: list[str]) -> None:
    from dvc.cli import parse_args

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        parse_args(arguments)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage, benchmark in re.findall(r"(\w+)@(\w+)", " ".join(arguments)):
        assert stage in stages and benchmark in BENCHMARKS, (stage, benchmark)
    for setting in re.findall(r"-S (\S+)=", " ".join(arguments)):
        content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for key in setting.split("."):
            content = content[key]


def _dagster(arguments: list[str]) -> None:
    if arguments == ["instance", "migrate"]:
        return
    assert arguments[:2] == ["asset", "materialize"]
    options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert find_spec(options["-m"])
    asset, _, benchmark = options["--select"].strip("*").partition("_")
    assert asset in ASSETS and benchmark in BENCHMARKS, options["--select"]
    execution = json.loads(options.get("--config-json", '{"execution": {"config": {}}}'))["execution"]["config"]
    assert set(execution) <= set(SCHEMA)


def _mlflow(arguments: list[str]) -> None:
    from mlflow.cli import cli

    command: object = cli
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context("mlflow", arguments)  # type: ignore[attr-defined]


def _cp(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).exists(), arguments[0]


def _pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    for name in arguments[1:]:
        if not name.startswith(("-", "dist/")):
            Requirement(name)


def _hf(arguments: list[str]) -> None:
    assert arguments[0] in ("download", "auth")


def _named_files(arguments: Sequence[str]) -> None:
    """Files of the repository that an option names."""
    for option, value in itertools.pairwise(arguments):
        if option == "--config":
            assert (ROOT / value).is_file(), value


def _anything(arguments: list[str]) -> None:
    """The shell's own, or a program that asks a server."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "datasetdm": _datasetdm,
    "make": _make,
    "python": _python,
    "dvc": _dvc,
    "dagster": _dagster,
    "mlflow": _mlflow,
    "docker": _anything,
    "cp": _cp,
    "pip": _pip,
    "hf": _hf,
    "export": _anything,
    "echo": _anything,
    "curl": _anything,
    "dagster-webserver": _anything,
    "dagster-daemon": _anything,
    **dict.fromkeys(("createuser", "createdb", "pg_dump", "pg_restore"), _anything),
    "ray": _anything,
}
#: Programs that need more than the project has, so that a block with them has to say so.
NEEDED_BY = {
    "docker": "docker",
    "pip": "network",
    "hf": "network",
    "curl": "server",
    "mlflow": "server",
    "ray": "cluster",
}
NEEDED_BY |= dict.fromkeys(
    ("createuser", "createdb", "dagster-daemon", "dagster-webserver", "pg_dump", "pg_restore"), "server"
)
