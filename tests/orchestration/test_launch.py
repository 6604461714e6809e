"""A run from the command line belongs to a code location, so that Dagster's home page lists it."""

from pathlib import Path

import pytest
from dagster import DagsterInstance, RunsFilter

from datasetdm.errors import DatasetDMError
from orchestration import launch

MODULE = "launched_definitions"
DEFINITIONS = """
from dagster import Config, Definitions, asset, define_asset_job

class Wanted(Config):
    fails: bool = False

@asset
def thing(config: Wanted) -> None:
    if config.fails:
        raise ValueError("as told")

defs = Definitions(assets=[thing], jobs=[define_asset_job("coco", selection="*")])
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DagsterInstance:
    (tmp_path / f"{MODULE}.py").write_text(DEFINITIONS)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(launch, "MODULE", MODULE)
    monkeypatch.chdir(tmp_path)
    return DagsterInstance.get()


def test_the_run_names_its_code_location_and_job(home: DagsterInstance, tmp_path: Path, capsys) -> None:
    assert launch.main(["coco"]) == 0
    (run,) = home.get_runs(RunsFilter(job_name="coco"))
    assert run.is_success and run.remote_job_origin is not None
    repository = run.remote_job_origin.repository_origin
    assert (repository.code_location_origin.location_name, repository.repository_name) == (MODULE, "__repository__")

    config = tmp_path / "run.yaml"
    config.write_text("ops: {thing: {config: {fails: true}}}")
    assert launch.main(["coco", "--config", str(config)]) == 1

    assert launch.main(["cocoa"]) == 2
    assert "There is no job 'cocoa'" in capsys.readouterr().err


def test_an_unknown_job_names_those_that_exist(home: DagsterInstance) -> None:
    with pytest.raises(DatasetDMError, match=r"a whole benchmark of params\.yaml: coco\."):
        launch.run_job("voc", {}, home)
