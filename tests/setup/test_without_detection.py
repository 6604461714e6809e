"""Without the extra `detection` everything works but the detectors, and these say what to install before any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasetdm.cli import main
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.engine.run import check_ready
from datasetdm.pipeline.stages import STAGES
from datasetdm.pipeline.trained_models import load_model

ROOT = Path(__file__).parents[2]
REMEDY = "make setup DETECTION=1"

# What is in requirements-detection.lock, by the names under which it is imported.
BLOCKED = ("addict", "mmcv", "mmdet", "mmengine", "shapely", "terminaltables", "yapf")

# The detectors themselves, and what another environment runs.
ELSEWHERE = ("datasetdm.downstream.detection", "datasetdm.pipeline.fiftyone_script")

PROGRAM = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({BLOCKED}))
import datasetdm, orchestration
from datasetdm.errors import DatasetDMError

def names(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name in {ELSEWHERE} or module.name.endswith(".__main__"):
            continue
        yield module.name
        if module.ispkg:
            yield from names(importlib.import_module(module.name))

found = [*names(datasetdm), *names(orchestration)]
for name in found:
    importlib.import_module(name)
print(len(found))

from datasetdm.annotations.sample import Category
from datasetdm.config import load_params
from datasetdm.downstream import DOWNSTREAM
from datasetdm.tasks import build_task
from pkgutil import resolve_name
for benchmark in ("voc", "nyu", "coco_pose"):
    settings = load_params().benchmark(benchmark)
    family = DOWNSTREAM[settings.task.name]
    family.check_installed()
    task = build_task(settings.task, [Category(id=1, name="person")])
    small = settings.downstream.model_copy(update={{"pretrained": None}})
    print(sum(weight.numel() for weight in resolve_name(family.model).build(small, task).network.parameters()))
try:
    import datasetdm.downstream.detection
except DatasetDMError as error:
    print(error)
"""


@pytest.mark.slow
def test_every_other_module_can_be_imported_and_every_other_model_built() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert answer.returncode == 0, answer.stderr
    modules, *sizes, error = answer.stdout.splitlines()
    assert int(modules) > 200
    assert len(sizes) == 3 and all(int(size) > 10_000 for size in sizes)
    assert REMEDY in error


def test_blocked_are_all_that_the_extra_adds() -> None:
    lines = (ROOT / "requirements-detection.lock").read_text().splitlines()
    assert sorted(line.split("==")[0] for line in lines if not line.startswith("#")) == sorted(BLOCKED)


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the settings as they are shipped, and no mmdet."""
    monkeypatch.setitem(sys.modules, "mmdet", None)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backbones").symlink_to(ROOT / "data" / "backbones")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_detector_is_refused_before_any_work(without: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(without.rglob("*"))
    for command in (["run", "coco"], ["train_downstream", "coco"], ["compare", "coco"], ["validate", "coco"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "mmdet is not installed" in said and REMEDY in said and "Traceback" not in said
    assert sorted(without.rglob("*")) == before
    with pytest.raises(DatasetDMError, match=REMEDY):
        load_model("champion", benchmark="coco")


def test_what_trains_no_detector_is_not_refused(without: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = open_context("coco")
    to_augment = [stage for name, stage in STAGES.items() if name not in ("train_downstream", "compare")]
    check_ready(to_augment, context)
    with pytest.raises(DatasetDMError, match=REMEDY):  # a detector is trained after each round
        check_ready(to_augment, context.with_settings("synthesis", rounds=2))
    for benchmark in ("voc", "nyu", "coco_pose"):
        check_ready(STAGES.values(), open_context(benchmark))
        assert main(["validate", benchmark]) == 0
        assert "in place" in capsys.readouterr().out
