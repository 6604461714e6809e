"""A project folder of its own, with settings so small that the whole chain takes seconds."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

TINY = {
    "seeds": [0],
    "ingest": {"num_real": 4, "num_dev": 3, "num_oracle": 3, "num_test": 4},
    "decoder": {
        "hidden_dim": 32,
        "num_heads": 4,
        "num_queries": 6,
        "num_layers": 1,
        "feedforward_dim": 32,
        "views_per_image": 2,
        "iterations": 4,
        "batch_size": 2,
        "evaluate_every": 2,
    },
    "prompts": {"num_prompts": 4},
    # Four iterations teach nothing: every object is taken, so that there is something to go on with.
    "synthesis": {
        "num_images": 5,
        "shard_size": 2,
        "sampler": {"num_inference_steps": 2},
        "filter": {"score_threshold": 0.0, "min_area": 0.0},
    },
    "augmentation": {"num_images": 2, "proportions": {"1x2": 1, "2x2": 1}, "max_size": 128},
    "downstream": {
        "model": "solov2_r18",  # untrained, it finds little, and is quick about it
        "image_size": 64,
        "iterations": 2,
        "batch_size": 2,
        "learning_rate": 0.001,
    },
    "experiment": {"arms": ["real", "synthetic", "both", "oracle"]},
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The tiny settings of a benchmark, all but task and source."""
    return TINY


Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Write:
    """Writes `params.yaml` (the tiny settings under those given) and makes its folder the current one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data/backbones/miniworld", tmp_path / "data/backbones/miniworld")
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow")

    def write(source: dict[str, Any]) -> Path:
        block = {"task": "instance", "source": source, **TINY}
        backbone = {"path": "data/backbones/miniworld", "image_size": 128}
        content = {"device": "cpu", "backbone": backbone, "benchmarks": {"coco": block}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        return tmp_path

    return write


@pytest.fixture
def edit(tmp_path: Path) -> Callable[[str, Any], None]:
    """Changes one setting: edit("benchmarks.coco.seeds", [1])."""

    def change(name: str, value: Any) -> None:
        file = tmp_path / "params.yaml"
        content = yaml.safe_load(file.read_text())
        *parents, last = name.split(".")
        block = content
        for part in parents:
            block = block[part]
        block[last] = value
        file.write_text(yaml.safe_dump(content))

    return change


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a drawn set; see `tests.pipeline.drawn`. Tests use a copy, `drawn`."""
    from tests.pipeline.drawn import make_project

    folder, before = tmp_path_factory.mktemp("drawn") / "ann", Path.cwd()
    folder.mkdir()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.chdir(folder)
    try:
        make_project(folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def drawn(drawn_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project, which is the current folder."""
    folder = tmp_path / "ann"
    shutil.copytree(drawn_once, folder, symlinks=True, ignore=shutil.ignore_patterns(".work", "mlflow"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder
