"""What DVC runs again, on a data set that is the user's own: real `dvc repro`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.stages.ingest import weights_elsewhere

ROOT = Path(__file__).parents[2]
STAGE_FILES = Path("datasetdm/pipeline/stages")  # DVC reads the code versions there
Repro = Callable[[], tuple[set[str], set[str]]]
Dvc = Callable[..., str]


def write_coco(root: Path, split: str, count: int, first_id: int) -> None:
    """Photograph-like noise of odd sizes, one box-shaped dog in each."""
    rng = np.random.default_rng(first_id)
    (root / f"{split}2017").mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number in range(first_id, first_id + count):
        height, width = 40 + number % 7, 61 - number % 5
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            root / f"{split}2017" / f"{number}.png"
        )
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        polygon = [5, 5, 30, 5, 30, 30, 5, 30]
        annotations.append(
            {
                "id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
                "segmentation": [polygon], "bbox": [5, 5, 25, 25], "area": 625,
            }
        )  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without git, in a folder with an awkward name; its data lie outside, and are named with `~`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_coco(tmp_path / "home" / "coco", "train", 12, 1)
    write_coco(tmp_path / "home" / "coco", "val", 4, 100)
    folder = tmp_path / "what now? it's #1, 100 %"
    (folder / ".dvc").mkdir(parents=True)
    (folder / "data/backbones").mkdir(parents=True)
    (folder / ".dvc/config").write_text((ROOT / ".dvc/config").read_text() + "    no_scm = true\n")
    shutil.copy(ROOT / "dvc.yaml", folder)
    shutil.copytree(ROOT / STAGE_FILES, folder / STAGE_FILES)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    block = content["benchmarks"]["coco"]
    block["source"] = {"format": "coco", "root": "~/coco"}
    block["ingest"] = {"num_real": 4, "num_dev": 3, "num_oracle": 3}
    block["downstream"]["pretrained"] = None
    content["benchmarks"] = {"coco": block}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PWD", raising=False)
    return folder


@pytest.fixture
def dvc(project: Path) -> Dvc:
    """Runs a DVC command; returns its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    return run


@pytest.fixture
def repro(dvc: Dvc) -> Repro:
    """Runs `dvc repro`; returns the stages that ran and those that did not have to."""

    def run() -> tuple[set[str], set[str]]:
        lines = dvc("repro", "write_prompts@coco").splitlines()
        return (
            {line.split("'")[1] for line in lines if line.startswith("Running stage")},
            {line.split("'")[1] for line in lines if line.endswith("didn't change, skipping")},
        )

    return run


def contents(*folders: Path) -> dict[Path, bytes]:
    """The published files."""
    return {file: file.read_bytes() for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.slow
def test_an_edited_label_is_noticed_and_unchanged_ones_cost_no_more_than_a_look(
    repro: Repro, dvc: Dvc, project: Path
) -> None:
    assert repro() == ({"ingest@coco", "write_prompts@coco"}, set())
    lock = Path("dvc.lock").read_bytes()

    table = Path("data/prompts/coco.csv").read_bytes()
    assert repro() == ({"ingest@coco", "write_prompts@coco"}, set())  # both look at files that DVC does not watch
    assert Path("dvc.lock").read_bytes() == lock
    assert Path("data/prompts/coco.csv").read_bytes() == table

    labels = Path.home() / "coco/annotations/instances_train2017.json"
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[5, 5, 20, 5, 20, 30, 5, 30]]
    labels.write_text(json.dumps(content))
    dvc("repro", "ingest@coco")
    assert Path("dvc.lock").read_bytes() != lock

    # What is pushed to a remote and lost comes back to the byte.
    made = contents(Path("data/real"), Path("data/prompts"))
    dvc("remote", "add", "--default", "storage", str(Path.home() / "storage"))
    assert "pushed" in dvc("push", "write_prompts@coco", "--with-deps")
    for folder in (Path("data/real/coco"), Path(".dvc/cache")):
        shutil.rmtree(folder)
    Path("data/prompts/coco.csv").unlink()
    dvc("pull", "write_prompts@coco", "--with-deps")
    assert contents(Path("data/real"), Path("data/prompts")) == made

    # Nothing was written outside the project, whose name means something in a URL and to a shell.
    assert {path.name for path in project.parent.iterdir()} == {"home", project.name}


def test_weights_that_dvc_does_not_watch_are_noted_by_content(project: Path) -> None:
    def note_of(backbone: Path, pretrained: str | None) -> dict[str, str]:
        content = yaml.safe_load(Path("params.yaml").read_text())
        content["backbone"]["path"] = str(backbone)
        content["benchmarks"]["coco"]["downstream"]["pretrained"] = pretrained
        Path("params.yaml").write_text(yaml.safe_dump(content))
        return weights_elsewhere(open_context("coco"))

    watched, outside = Path("data/backbones/mine"), Path.home() / "models"
    for folder in (watched, outside):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
    assert note_of(watched, None) == {}
    assert note_of(watched, "someone/model-of-the-hub") == {}
    first = note_of(outside, str(outside))
    assert set(first) == {"backbone.path", "downstream.pretrained"}
    assert note_of(outside, str(outside)) == first
    (outside / "model.safetensors").write_bytes(b"other w")  # as long as before
    assert note_of(outside, None)["backbone.path"] != first["backbone.path"]
    Path("data/backbones/link").symlink_to(outside, target_is_directory=True)
    assert set(note_of(Path("data/backbones/link"), None)) == {"backbone.path"}
