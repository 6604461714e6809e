"""The command `import`: the block goes into params.yaml, and nothing else changes there."""

import shutil
from pathlib import Path

import pytest

from datasetdm.cli import main
from datasetdm.cli.data import FORMATS
from datasetdm.config import load_params
from datasetdm.config.adding import add_block
from datasetdm.datasets.importing.exports import EXPORTS
from datasetdm.errors import DatasetDMError
from tests.datasets.importing.builders import coco, pictures, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "params", folder / "params")
    monkeypatch.chdir(folder)
    return folder


def test_formats() -> None:
    assert set(FORMATS) == set(EXPORTS)


@pytest.mark.parametrize("settings", ["params.yaml", "params/paper.yaml"])
def test_the_block_is_added_and_all_else_stays(
    settings: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if settings != "params.yaml":
        shutil.copy(settings, "params.yaml")
    before = Path("params.yaml").read_text()
    items = pictures(tmp_path / "export", 20)
    write(tmp_path / "export" / "labels.json", coco(items))
    command = ["import", str(tmp_path / "export"), "--name", "mine"]
    assert main(command) == 0
    assert "Next:" not in capsys.readouterr().out  # as the block has to be added first
    shutil.rmtree("data")
    command += ["--write"]
    assert main(command) == 0
    after = Path("params.yaml").read_text()
    start = after.index("\n  mine:") + 1
    end = after.index("\nstudy:")
    assert after[: start - 1] + after[end:] == before
    said = capsys.readouterr().out
    assert after[start:end] in said and said.endswith("Next: datasetdm validate mine\n")
    assert load_params().benchmark("mine").source.root == Path("data/raw/mine")
    assert load_params().benchmark("mine").study == {}  # that of `coco` is for the embedded world
    assert main(command) == 2
    assert "has a benchmark 'mine' already" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert Path("params.yaml").read_text() == after


def test_a_block_is_replaced_where_it_stands(project: Path) -> None:
    before = Path("params.yaml").read_text()
    lines = before.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith("  cityscapes:"))
    last = next(number for number, line in enumerate(lines) if line.startswith("  deepfashion:"))
    text = "".join(lines[first : last - 1])
    with pytest.raises(DatasetDMError, match="has a benchmark 'cityscapes' already"):
        add_block(Path("params.yaml"), "cityscapes", text)
    add_block(Path("params.yaml"), "cityscapes", text.replace("num_real: 10", "num_real: 11"), replace=True)
    assert Path("params.yaml").read_text() == before.replace("num_real: 10,", "num_real: 11,")


def test_a_block_that_others_refer_to_stays(project: Path) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(DatasetDMError):
        add_block(Path("params.yaml"), "voc", "  voc: {task: semantic}\n", replace=True)
    assert Path("params.yaml").read_text() == before


def test_mistakes(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.JPG", "notes.json", "README"):
        (tmp_path / "photos" / name).write_text("{}")
    (tmp_path / "export.zip").write_bytes(b"PK")
    for path, name, expected in (
        ("nothing", "mine", "does not exist"),
        ("empty", "mine", "empty has no files"),
        ("photos", "mine", "of no layout that can be recognised; it has 2 .jpg, 1 .json, 1 without a suffix."),
        ("export.zip", "mine", "is an archive: unpack it"),
        ("empty", "my data", "use only letters, digits and _"),
    ):
        assert main(["import", str(tmp_path / path), "--name", name]) == 2
        assert expected in capsys.readouterr().err
