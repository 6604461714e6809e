"""`validate` names everything that is wrong at once, and writes nothing."""

import re
import shutil
from pathlib import Path

import pytest

from datasetdm.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backbones").symlink_to(ROOT / "data" / "backbones")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_benchmark_that_can_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in project.iterdir())
    assert main(["validate", "coco"]) == 0
    said = capsys.readouterr().out
    assert "data: rendered by `ingest`" in said and "data/backbones/miniworld" in said and "in place" in said
    assert sorted(path.name for path in project.iterdir()) == before


def test_all_problems_at_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text()
    for old, new in (
        ("device: auto ", "device: cuda:9 "),
        ("pretrained: &resnet data/backbones/miniworld_resnet18", "pretrained: &resnet nowhere/resnet18/x"),
        ("root: data/raw/miniworld/coco\n", "root: photos\n"),
        ("      miniworld: {distribution: coco, num_train: 600, num_val: 150}   # remove", "      # remove"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    Path("params.yaml").write_text(text)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
    assert main(["validate", "coco"]) == 2
    said = capsys.readouterr().err
    for expected in (
        "4 problems:",
        "'cuda:9', which cannot be used",
        "nowhere/resnet18/x/model.safetensors is missing",
        "photos is missing",
        "GB free",
    ):
        assert expected in said


def test_too_few_images_and_a_model_of_another_world(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.datasets.importing.builders import official, pictures

    official(pictures(tmp_path / "photos", 10), tmp_path / "toys")
    text = Path("params.yaml").read_text()
    text = text.replace("root: data/raw/miniworld/coco\n", f"root: {tmp_path / 'toys'}\n", 1)
    text = text.replace(
        "      miniworld: {distribution: coco, num_train: 600, num_val: 150}   # remove", "      # r", 1
    )
    Path("params.yaml").write_text(text)
    assert main(["validate", "coco"]) == 2
    said = capsys.readouterr().err
    assert "has 7 training images, but `ingest` asks for 380" in said
    assert "draws the embedded world alone" in said


def test_wrong_settings_come_first(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("num_real: 20,", "num_real: many,", 1))
    assert main(["validate", "coco"]) == 2
    assert "benchmarks.coco.ingest.num_real is 'many'; write a whole number" in capsys.readouterr().err


def test_hub_names_without_a_commit_are_warned_of(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("path: data/backbones/miniworld ", "path: someone/some-model "))
    main(["validate", "coco"])
    said = capsys.readouterr().out
    assert said.count("warning") == 1
    assert "coco: warning: someone/some-model on the hub has no pinned version" in said
    assert "as backbone.revision in params.yaml" in said
    Path("params.yaml").write_text(
        text.replace("path: data/backbones/miniworld ", "revision: 0a1b2c3\n  path: someone/some-model ")
    )
    main(["validate", "coco"])
    assert "warning" not in capsys.readouterr().out


def test_what_adapters_lack_is_said_before_anything_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    adapter = "ip_adapter: {path: nowhere, file: a.safetensors, images: pictures}\n  path: data/backbones/miniworld "
    Path("params.yaml").write_text(text.replace("path: data/backbones/miniworld ", adapter))
    assert main(["validate", "coco"]) == 2
    assert "backbone.ip_adapter.images in params.yaml is pictures, where 1 to 16 images are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda model: shutil.rmtree(model / "text_encoder"), "lacks text_encoder"),
        (lambda model: shutil.rmtree(model / "unet"), "model/unet is missing"),
        (lambda model: cut(model / "vae/diffusion_pytorch_model.safetensors", 1000), "vae/.*is cut off"),
        (lambda model: cut(model / "unet/diffusion_pytorch_model.safetensors", 0), "unet/.*is cut off"),
        (lambda model: rename(model / "model_index.json"), "KandinskyPipeline, which is none of the families"),
    ],
)
def test_a_model_that_is_not_complete_is_found_before_it_is_loaded(project, capsys, damage, problem: str) -> None:
    shutil.copytree(ROOT / "data/backbones/miniworld", project / "model")
    text = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("path: data/backbones/miniworld ", "path: model "))
    damage(project / "model")
    assert main(["validate", "coco"]) == 2
    assert re.search(problem, capsys.readouterr().err)


def test_weights_of_the_downstream_model_that_are_cut_off(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "data/backbones/miniworld_resnet18", project / "resnet")
    cut(project / "resnet/model.safetensors", 5000)
    text = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("&resnet data/backbones/miniworld_resnet18", "&resnet resnet"))
    assert main(["validate", "coco"]) == 2
    assert "resnet/model.safetensors is cut off" in capsys.readouterr().err


def test_of_a_benchmark_that_is_not_there_only_the_error_speaks(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "nope"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "no benchmark 'nope'" in said.err


def cut(file: Path, size: int) -> None:
    with open(file, "r+b") as stream:
        stream.truncate(size)


def rename(index: Path) -> None:
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "KandinskyPipeline"))
