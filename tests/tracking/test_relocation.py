"""A project that was moved or copied: its MLflow store follows, or refuses."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pytest

import datasetdm
from datasetdm import tracking
from datasetdm.errors import DatasetDMError
from datasetdm.tracking.relocation import follow_move

LOADER = "datasetdm.brightness:Brightness.load"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a run, a picture and a registered model; its name needs quoting in an address."""
    folder = tmp_path_factory.mktemp("where") / "it was, 100 %"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasetdm, "__path__", [*datasetdm.__path__, str(Path(__file__).parent)])
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        Path("params.yaml").write_text("")
        log("first")
        yield folder
    sys.modules.pop("datasetdm.brightness", None)


def log(name):
    """A run with a file and a model; returns its id."""
    from datasetdm.brightness import Brightness

    model = Brightness(np.full(3, 1.0, np.float32)).save(Path(name))
    with tracking.track_run(benchmark="coco", stage="train", params={}, name=name) as run:
        run.log_metrics({"dev/figure": 1.0})
        run.log_artifact("params.yaml", "pictures")
        run.register_model("model", model, LOADER)
    tracking.promote("model", "dev/figure")
    return run.run_id


def addresses(folder):
    """All that the store's tables say of places in a project."""
    with closing(sqlite3.connect(folder / "mlflow/mlflow.db")) as store:
        text = "\n".join(store.iterdump())
    return [line for line in text.splitlines() if "/mlflow/artifacts/" in line]


@pytest.mark.parametrize("kind", ["copied", "moved"])
def test_a_copy_writes_to_its_own_place_and_reads_what_came_with_it(made, tmp_path, monkeypatch, kind):
    before = sorted(made.rglob("*"))
    original = shutil.copytree(made, tmp_path / "original")
    here = tmp_path / "here #2"
    shutil.copytree(made, here)
    monkeypatch.chdir(here)
    run_id = log("second")
    assert sorted(made.rglob("*")) == before, "the copy wrote into the folder that it came from"
    assert not [line for line in addresses(here) if made.as_uri() in line]
    assert list((here / "mlflow/artifacts/coco").rglob(f"{run_id}/artifacts/pictures/params.yaml"))
    if kind == "moved":
        monkeypatch.chdir(tmp_path)
        here = here.rename(tmp_path / "again")
        monkeypatch.chdir(here)
    assert tracking.load_model("model", device="cpu").predict(np.ones((1, 2, 2, 3))) == [1.0]
    for run in mlflow.MlflowClient().search_runs(["1"]):
        assert mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="pictures/params.yaml")
    shutil.rmtree(original)


def test_a_store_without_its_artifacts_is_refused_and_left_as_it_is(made, tmp_path, monkeypatch):
    (tmp_path / "mlflow").mkdir()
    shutil.copy(made / "mlflow/mlflow.db", tmp_path / "mlflow")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "mlflow/mlflow.db").read_bytes()
    with pytest.raises(DatasetDMError, match="copy them there"):
        follow_move(tmp_path / "mlflow/mlflow.db", tmp_path)
    with pytest.raises(DatasetDMError, match="belongs to a project in another folder"):
        tracking.experiment_identity("coco")
    assert (tmp_path / "mlflow/mlflow.db").read_bytes() == before


def test_a_store_that_stayed_is_not_touched(made):
    assert follow_move(made / "mlflow/mlflow.db", made) == []
    assert follow_move(made / "mlflow/none.db", made) == []
