"""Runs and registered models, in a real store."""

import os
import pickle
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from dvc.repo import Repo

import datasetdm
from datasetdm import tracking
from datasetdm.errors import DatasetDMError
from datasetdm.tracking.store import experiment_id
from datasetdm.utils.processes import this_process

LOADER = "datasetdm.brightness:Brightness.load"


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """A project folder with a store of its own (making one takes seconds), and a module `datasetdm.brightness`."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").touch()
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DAGSTER_RUN_ID", raising=False)
        patch.setattr(datasetdm, "__path__", [*datasetdm.__path__, str(Path(__file__).parent)])
        yield folder
    sys.modules.pop("datasetdm.brightness", None)


def brightness(weight):
    from datasetdm.brightness import Brightness  # found through the fixture `project`

    return Brightness(np.full(3, weight, np.float32))


def register(name, folder, weight, metrics, **tags):
    with tracking.track_run(benchmark="registry", stage="train", params={}, tags=tags) as run:
        run.log_metrics(metrics)
        return run.register_model(name, brightness(weight).save(folder), LOADER)


def version_of(name, alias):
    return str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)


def test_run_has_params_metrics_tags_and_dataset(tmp_path):
    data = tmp_path / "set"
    data.mkdir()
    (data / "image.txt").write_text("pixels")
    params = {"decoder": {"hidden_dim": 96, "timesteps": [1, 200]}, "name": "coco"}
    times = (time.time() - 3600, time.time() - 60)
    with tracking.track_run(
        benchmark="coco",
        stage="train_decoder",
        params=params,
        tags={"arm": "real", "seed": 3, "dvc_md5": None},
        name="real/3",
        times=times,
    ) as run:
        run.log_metrics({"dev/mask_ap": 0.25})
        run.log_metrics({"loss": 2.0}, step=0)
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_dataset("real_coco", data, tracking.dvc_md5(data))
        run.log_artifact(data / "image.txt", "pictures")
        run.log_table(pd.DataFrame({"figure": ["mask_ap/car"], "dev": [0.5]}), "figures.json")
        run.set_tags({"num_images": 40})

    logged = mlflow.get_run(run.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "real/3"
    assert (logged.info.start_time, logged.info.end_time) == tuple(int(time * 1000) for time in times)
    experiment = mlflow.get_experiment(logged.info.experiment_id)
    assert experiment.name == "coco" and "press **Compare**" in experiment.tags["mlflow.note.content"]
    assert run.page.endswith(f"/#/experiments/{run.experiment}/runs/{run.run_id}?workflowType=machine_learning")
    assert logged.data.params == {"decoder.hidden_dim": "96", "decoder.timesteps": "[1, 200]", "name": "coco"}
    assert logged.data.metrics["dev/mask_ap"] == 0.25
    losses = mlflow.MlflowClient().get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in losses] == [(0, 2.0), (1, 1.0)]
    table = mlflow.MlflowClient().load_table(run.experiment, "figures.json", [run.run_id])
    assert table.to_dict("records") == [{"figure": "mask_ap/car", "dev": 0.5}]
    tags = {name: value for name, value in logged.data.tags.items() if not name.startswith("mlflow.")}
    assert tags.pop("process") == this_process()
    assert tags == {
        "benchmark": "coco",
        "stage": "train_decoder",
        "arm": "real",
        "seed": "3",
        "num_images": "40",
        "params_digest": tracking.params_digest(params),
    }
    (used,) = logged.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("real_coco", tracking.dvc_md5(data))
    (picture,) = mlflow.MlflowClient().list_artifacts(run.run_id, "pictures")
    assert picture.path == "pictures/image.txt"
    assert Path("mlflow/artifacts/coco").is_dir()
    assert not Path("mlruns").exists()


def test_many_params_are_all_logged():
    params = {f"setting_{number}": number for number in range(230)}
    with tracking.track_run(benchmark="coco", stage="ingest", params=params) as run:
        pass
    assert len(mlflow.get_run(run.run_id).data.params) == 230


def test_run_fails_with_its_block():
    with (
        pytest.raises(RuntimeError, match="no space"),
        tracking.track_run(benchmark="coco", stage="ingest", params={}) as run,
    ):
        raise RuntimeError("no space")
    assert mlflow.get_run(run.run_id).info.status == "FAILED"
    assert mlflow.active_run() is None


OF_THIS_PROJECT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

KILLED_IN_A_RUN = """
import os, signal
from datasetdm.tracking import track_run
with track_run(benchmark="killed", stage="train", params={}, tags={"dvc_md5": "abc"}) as run:
    run.log_metrics({"loss": 1.0})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def statuses(benchmark):
    experiment = mlflow.get_experiment_by_name(benchmark)
    runs = mlflow.MlflowClient().search_runs([experiment.experiment_id], order_by=["start_time"])
    return [run.info.status for run in runs]


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("look", ["next run", "next look"])
def test_a_run_of_a_killed_process_is_closed(tagged, look):
    tracking.experiment_identity("killed")
    before = statuses("killed") if mlflow.get_experiment_by_name("killed") else []
    assert subprocess.run([sys.executable, "-c", KILLED_IN_A_RUN], env=OF_THIS_PROJECT).returncode == -9
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'killed'")
    (dead,) = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    if not tagged:
        client.delete_tag(dead.info.run_id, "process")  # as in runs of earlier versions
    if look == "next run":
        with tracking.track_run(benchmark="killed", stage="train", params={}):
            assert statuses("killed").count("RUNNING") == 1  # its own
    else:
        tracking.experiment_identity("killed")
    closed = client.get_run(dead.info.run_id)
    assert closed.info.status == "KILLED" and closed.data.metrics == {"loss": 1.0}
    assert len(statuses("killed")) > len(before) and "RUNNING" not in statuses("killed")


def test_runs_of_the_living_and_of_other_machines_are_left_alone():
    client = mlflow.MlflowClient()
    experiment = experiment_id("alive")
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = psutil.Process(sleeper.pid).create_time()
    tags = {
        "ours": this_process(),
        "another": f"{platform.node()} {sleeper.pid} {start}",
        "elsewhere": f"another-machine {sleeper.pid} 1.0",
        "a pid that was given away": f"{platform.node()} {sleeper.pid} {start - 3600}",
        "not of this project": None,
    }
    for name, tag in tags.items():
        more = {} if tag is None else {"stage": "train", "process": tag}
        client.create_run(experiment, tags=more, run_name=name)
    tracking.experiment_identity("alive")
    sleeper.communicate()
    found = {run.info.run_name: run.info.status for run in client.search_runs([experiment])}
    assert found == dict.fromkeys(tags, "RUNNING") | {"a pid that was given away": "KILLED"}


def test_the_same_output_is_logged_once(tmp_path):
    def log(value, **tags):
        with tracking.track_run(benchmark="once", stage="train", params={"a": 1}, tags=tags) as run:
            run.log_metrics({"loss": value}, step=0)
            run.set_tags({"value": value})
        return run

    first = log(1.0, dvc_md5="abc", seed=0)
    again = log(2.0, dvc_md5="abc", seed=0)
    assert again.logged and again.run_id == first.run_id
    history = mlflow.MlflowClient().get_metric_history(first.run_id, "loss")
    assert [point.value for point in history] == [1.0]
    assert mlflow.get_run(first.run_id).data.tags["value"] == "1.0"
    others = [log(1.0, dvc_md5="def", seed=0), log(1.0, dvc_md5="abc", seed=1), log(1.0), log(1.0)]
    assert not any(run.logged for run in others)
    assert statuses("once") == ["FINISHED"] * 5


def test_a_failed_run_is_logged_again():
    for logged in (False, False, True):
        try:
            with tracking.track_run(benchmark="failed", stage="train", params={}, tags={"dvc_md5": "abc"}) as run:
                assert run.logged == logged
                if len(statuses("failed")) == 1:
                    raise RuntimeError("no space")
        except RuntimeError:
            pass
    assert sorted(statuses("failed")) == ["FAILED", "FINISHED"]


def test_a_model_that_was_removed_is_registered_again(tmp_path):
    tags = {"dvc_md5": "abc"}
    assert register("gone", tmp_path / "1", 1.0, {"dev/mask_ap": 0.1}, **tags) == "1"
    mlflow.MlflowClient().delete_registered_model("gone")
    assert register("gone", tmp_path / "2", 1.0, {"dev/mask_ap": 0.1}, **tags) == "1"
    assert set(statuses("registry")) == {"FINISHED"}


def test_run_names_commit_and_dagster_run(project, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_RUN_ID", "0123")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "--quiet"], check=True)
    try:
        (project / "file").write_text("1")
        subprocess.run(["git", "add", "file"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "first"], check=True)
        with tracking.track_run(benchmark="coco", stage="ingest", params={}) as clean:
            pass
        (project / "file").write_text("2")
        with tracking.track_run(benchmark="coco", stage="ingest", params={}) as dirty:
            pass
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    finally:
        (project / ".git").rename(tmp_path / "git")
    assert mlflow.get_run(clean.run_id).data.tags["git_commit"] == head
    assert mlflow.get_run(clean.run_id).data.tags["dagster_run_id"] == "0123"
    assert mlflow.get_run(dirty.run_id).data.tags["git_commit"] == f"{head}-dirty"


def test_params_digest_ignores_order_and_sees_changes():
    assert tracking.params_digest({"a": 1, "b": {"c": 2}}) == tracking.params_digest({"b": {"c": 2}, "a": 1})
    assert tracking.params_digest({"a": 1}) != tracking.params_digest({"a": 2})


def test_dvc_md5_is_what_dvc_records(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "ü.txt").write_text("a")
    (folder / "labels.json").write_text("{}")
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.add(str(folder))
    recorded = re.search(r"md5: (\S+)", (tmp_path / "set.dvc").read_text())
    assert recorded is not None
    assert tracking.dvc_md5(folder) == recorded[1]


def test_dvc_md5_of_nothing(tmp_path):
    with pytest.raises(DatasetDMError, match="is missing"):
        tracking.dvc_md5(tmp_path / "nowhere")


def test_a_comparison_adopts_the_trainings_and_gives_them_its_figures(tmp_path):
    def train(md5):
        with tracking.track_run(benchmark="adopt", stage="train", params={}, tags={"dvc_md5": md5}) as run:
            run.register_model("adopted", brightness(1.0).save(tmp_path / md5), LOADER, labels={"arm": "both"})
        return run.run_id

    def compare(metrics):
        with tracking.track_run(benchmark="adopt", stage="compare", params={}) as run:
            assert run.adopt("abc", "train", metrics) == child
            assert f"runs=%5B%22{child}%22%5D&experiments=" in run.comparison_of([child])
            assert not run.adopt("abc", "another stage", metrics)
            assert not run.adopt("nothing", "train", metrics)
        return run.run_id

    child, other = train("abc"), train("def")
    first, second = compare({"Test/mask_ap": 0.25}), compare({"Test/mask_ap": 0.25})
    logged = mlflow.get_run(child)
    assert logged.data.metrics == {"Test/mask_ap": 0.25}
    assert logged.data.tags["mlflow.parentRunId"] == second != first
    assert len(mlflow.MlflowClient().get_metric_history(child, "Test/mask_ap")) == 1
    assert "mlflow.parentRunId" not in mlflow.get_run(other).data.tags
    entries = mlflow.MlflowClient().search_model_versions("name='adopted'")
    tags = {str(entry.version): entry.tags for entry in entries}
    assert tags == {"1": {"arm": "both", "Test/mask_ap": "0.25"}, "2": {"arm": "both"}}


def test_champion_has_the_best_metric_and_challenger_the_second_best(tmp_path):
    def refuse(*_args, **_options):
        raise AssertionError("a model was unpickled")

    register("model", tmp_path / "1", 1.0, {"dev/mask_ap": 0.1})
    assert tracking.promote("model", "dev/mask_ap") == "1"
    register("model", tmp_path / "2", 2.0, {"dev/mask_ap": 0.3})
    register("model", tmp_path / "3", 3.0, {"dev/mask_ap": 0.2})
    register("model", tmp_path / "4", 4.0, {})
    assert tracking.promote("model", "dev/mask_ap") == "2"
    assert version_of("model", "champion") == "2"
    assert version_of("model", "challenger") == "3"
    entries = mlflow.MlflowClient().search_model_versions("name='model'")
    ranks = {str(entry.version): entry.tags.get("rank") for entry in entries}
    assert ranks == {
        "1": "3 of 3: dev/mask_ap 0.1",
        "2": "1 of 3: dev/mask_ap 0.3",
        "3": "2 of 3: dev/mask_ap 0.2",
        "4": None,
    }
    assert "second" in mlflow.MlflowClient().get_registered_model("model").description

    logged = list(Path("mlflow/artifacts/registry").rglob("*"))
    assert any(path.name == "model.safetensors" for path in logged)
    assert not [path for path in logged if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]
    images = np.full((2, 4, 4, 3), 10, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load", "loads", "Unpickler"):
            patch.setattr(pickle, name, refuse)
        assert tracking.load_model("model").predict(images) == [20.0, 20.0]
        assert tracking.load_model("model", "challenger").predict(images) == [30.0, 30.0]


def test_figures_of_another_dev_set_do_not_count(tmp_path):
    for version, merit in enumerate((0.8, 0.9), 1):
        register("moved", tmp_path / str(version), 1.0, {"dev/mask_ap": merit}, dev_set="miniworld")
    assert tracking.promote("moved", "dev/mask_ap", among={"dev_set": "miniworld"}) == "2"
    assert version_of("moved", "challenger") == "1"
    register("moved", tmp_path / "3", 2.0, {"dev/mask_ap": 0.1}, dev_set="own")
    assert tracking.promote("moved", "dev/mask_ap", among={"dev_set": "own"}) == "3"
    assert version_of("moved", "champion") == "3"
    with pytest.raises(mlflow.MlflowException, match="challenger"):
        version_of("moved", "challenger")
    assert tracking.promote("moved", "dev/mask_ap", among={"dev_set": "third"}) is None


def test_any_category_name_can_be_part_of_a_metric(tmp_path):
    names = ["screw (M4)", "R&D", "cup, mug", "driver's cab", "a//b", "..", "Äpfel"]
    with tracking.track_run(benchmark="names", stage="train", params={}) as run:
        run.log_metrics({f"dev/iou/{name}": 0.5 for name in names})
    logged = mlflow.get_run(run.run_id).data.metrics
    assert set(logged) == {
        f"dev/iou/{name}" for name in ("screw _M4_", "R_D", "cup_ mug", "driver_s cab", "a/_/b", "_", "Äpfel")
    }


def test_promoting_without_the_metric(tmp_path):
    register("untested", tmp_path / "1", 1.0, {"loss": 0.1})
    assert tracking.promote("untested", "dev/mask_ap") is None
    with pytest.raises(DatasetDMError, match="champion"):
        tracking.load_model("untested")


def test_the_champion_of_an_error_has_the_lowest(tmp_path):
    register("depth", tmp_path / "1", 1.0, {"dev/abs_rel": 0.2})
    register("depth", tmp_path / "2", 2.0, {"dev/abs_rel": 0.3})
    assert tracking.promote("depth", "dev/abs_rel", higher_is_better=False) == "1"


def test_the_same_model_is_registered_once(tmp_path):
    versions = [
        register("again", tmp_path / str(number), 1.0, {"dev/mask_ap": 0.1}, dvc_md5=md5)
        for number, md5 in enumerate(["abc", "abc", "def"])
    ]
    assert versions == ["1", "1", "2"]


def test_loading_an_unknown_model():
    with pytest.raises(DatasetDMError, match="nowhere"):
        tracking.load_model("nowhere")


@pytest.mark.parametrize(
    "loader",
    [
        "os:system",
        "datasetdm.tracking:os.system",
        "datasetdm.tracking:nothing",
        "datasetdm.nothing:load",
        "datasetdm",
    ],
)
def test_only_loaders_of_the_project_are_taken(tmp_path, loader):
    folder = brightness(1.0).save(tmp_path / "model")
    with (
        pytest.raises(DatasetDMError, match="cannot be used"),
        tracking.track_run(benchmark="registry", stage="train", params={}) as run,
    ):
        run.register_model("model", folder, loader)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.py"])
def test_files_that_may_hold_code_are_refused(tmp_path, name):
    folder = brightness(1.0).save(tmp_path / "model")
    (folder / name).write_bytes(b"")
    with (
        pytest.raises(DatasetDMError, match=re.escape(name)),
        tracking.track_run(benchmark="registry", stage="train", params={}) as run,
    ):
        run.register_model("model", folder, LOADER)
