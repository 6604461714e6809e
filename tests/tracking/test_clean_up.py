"""Old runs are set aside and later removed; what is chosen, newest or needed stays."""

import shutil
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import ViewType

from datasetdm import tracking
from datasetdm.tracking import clean_up
from datasetdm.tracking.store import open_store

DAY = clean_up.DAY


@pytest.fixture
def project(tmp_path, monkeypatch, empty_store):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    Path("mlflow").mkdir()
    shutil.copy(empty_store, "mlflow")


def log(days_ago, name="both/0", md5=None, **tags):
    """A run that ended some days ago, with a file; its id."""
    end = time.time() - days_ago * DAY
    with tracking.track_run(
        benchmark="coco",
        stage="train_downstream",
        params={"days": days_ago},
        tags={"dvc_md5": md5, **tags},
        name=name,
        times=(end - 60, end),
    ) as run:
        Path("picture.txt").write_text("x" * 1000)
        run.log_artifact("picture.txt")
    return run.run_id


def add_model(run_id, alias=None):
    """A model of a run, in the registry; its folder."""
    with open_store():
        client = mlflow.MlflowClient()
        run = client.get_run(run_id)
        model = client.create_logged_model(run.info.experiment_id, source_run_id=run_id)
        folder = Path(model.artifact_location.removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "weights").write_text("w" * 500)
        if not client.search_registered_models():
            client.create_registered_model("coco_downstream")
        version = client.create_model_version("coco_downstream", model.artifact_location, run_id)
        if alias:
            client.set_registered_model_alias("coco_downstream", alias, version.version)
    return folder


def names(runs):
    return {run.run_id for run in runs}


def state(run_id):
    with open_store():
        return mlflow.MlflowClient().get_run(run_id).info.lifecycle_stage


def test_what_a_newer_run_replaced_is_set_aside_and_can_come_back(project):
    old, new = log(50), log(40)
    other = log(60, name="real/0")  # the only one of its kind
    (found,) = clean_up.replaced_runs(30)
    assert (found.run_id, found.name, found.size) == (old, "coco/both/0", 1000)
    assert new in found.why
    assert state(old) == "active"  # nothing was done yet
    clean_up.set_aside([found])
    assert [state(run) for run in (old, new, other)] == ["deleted", "active", "active"]
    assert not clean_up.replaced_runs(30)
    assert not clean_up.removable_runs(30)  # set aside a moment ago
    with open_store():
        mlflow.MlflowClient().restore_run(old)
    assert names(clean_up.replaced_runs(30)) == {old}


def test_young_runs_champions_parents_and_shared_outputs_stay(project):
    first = log(50)
    add_model(first, alias="champion")
    parent = log(49, name="comparison")
    log(48, name="comparison")
    shared = log(47, name="real/0", md5="a" * 32)
    log(46, name="real/0", md5="a" * 32, note="other settings, same output")
    log(45)
    log(5, **{"mlflow.parentRunId": parent})
    log(4)
    assert names(clean_up.replaced_runs(30)) == {run for run in _ids() if _days(run) == 45}
    assert shared not in names(clean_up.replaced_runs(30))


def _ids():
    with open_store():
        client = mlflow.MlflowClient()
        experiments = [one.experiment_id for one in client.search_experiments()]
        return [run.info.run_id for run in client.search_runs(experiments, "", ViewType.ALL)]


def _days(run_id):
    with open_store():
        return float(mlflow.MlflowClient().get_run(run_id).data.params["days"])


def test_runs_that_failed_are_set_aside(project):
    log(40)
    with pytest.raises(RuntimeError), tracking.track_run(benchmark="coco", stage="compare", params={}):
        raise RuntimeError
    (failed,) = clean_up.replaced_runs(0)
    assert failed.why == "it was failed"


def test_what_is_removed_for_good_leaves_no_file_model_or_version(project):
    old = log(50)
    weights = add_model(old)
    kept = log(40)
    kept_weights = add_model(kept, alias="champion")
    found = clean_up.replaced_runs(30)
    assert found[0].size == 1500
    clean_up.set_aside(found)
    removable = clean_up.removable_runs(0)
    assert names(removable) == {old} and removable[0].size == 1500
    clean_up.remove_for_good(removable)
    assert not (weights / "weights").exists() and (kept_weights / "weights").exists()
    assert len(list(Path("mlflow/artifacts").rglob("picture.txt"))) == 1
    with open_store():
        client = mlflow.MlflowClient()
        (version,) = client.search_model_versions("name='coco_downstream'")
        assert version.run_id == kept
    assert names(clean_up.removable_runs(0)) == set() and _ids() == [kept]
    # MLflow's own `gc` would have left a version without a run, at which this stops.
    tracking.promote("coco_downstream", "dev/mask_ap")


def test_a_champion_that_a_person_has_deleted_is_not_removed(project):
    old = log(50)
    weights = add_model(old, alias="champion")
    with open_store():
        mlflow.MlflowClient().delete_run(old)
    assert not clean_up.removable_runs(0)
    assert weights.exists()


def test_through_a_server_nothing_is_removed_for_good(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    assert not clean_up.can_remove()
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:///server.db")
    assert clean_up.can_remove()


def test_a_run_of_a_machine_that_is_gone_is_set_aside(project):
    log(1)
    with open_store():
        client = mlflow.MlflowClient()
        (experiment,) = (one.experiment_id for one in client.search_experiments(filter_string="name = 'coco'"))
        tags = {"stage": "compare", "process": "another-machine 1 1.00"}
        days_ago = int((time.time() - 3 * DAY) * 1000)
        lost = client.create_run(experiment, start_time=days_ago, tags=tags).info.run_id
        client.create_run(experiment, tags=tags)  # at work now
    assert names(clean_up.replaced_runs(0)) == {lost}
