"""The settings of a run are read once, and not kept for ever."""

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.paths import settings_file
from orchestration.runs import UNUSED, open_run, run_params

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    open_run.cache_clear()


def edit_seeds(seeds: list[int]) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["benchmarks"]["coco"]["seeds"] = seeds
    Path("params.yaml").write_text(yaml.safe_dump(content))


def test_every_process_of_a_run_has_the_settings_that_it_began_with() -> None:
    before = load_params()
    assert run_params("a") == before
    edit_seeds([7, 8])
    open_run.cache_clear()  # as in another process
    assert open_run("coco", "a").params == run_params("a") == before
    assert open_run("coco", "b").seeds == (7, 8)


def test_wrong_settings_are_not_kept() -> None:
    edit_seeds([])
    with pytest.raises(DatasetDMError, match=r"params\.yaml has 1 problem"):
        open_run("coco", "a")
    edit_seeds([1])
    assert open_run("coco", "a").seeds == (1,)


def test_settings_that_no_run_has_used_for_long_are_removed() -> None:
    for run_id in ("old", "young"):
        run_params(run_id)
    long_ago = time.time() - UNUSED - 1
    os.utime(settings_file("old"), (long_ago, long_ago))
    run_params("new")
    assert not settings_file("old").exists() and settings_file("young").exists()
