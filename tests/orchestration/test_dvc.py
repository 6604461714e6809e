"""`dvc commit` while another DVC command runs."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from datasetdm.errors import DatasetDMError
from orchestration import dvc

SLOW = """
stages:
  make:
    foreach: [coco]
    do:
      cmd: mkdir -p data/out && echo 1 > data/out/a.txt && touch started && while [ ! -e go ]; do sleep 0.1; done
      outs: [{data/out: {persist: true}}]
"""
OUTPUT = Path("data/out")


@pytest.fixture
def reproducing(tmp_path, monkeypatch):
    """A `dvc repro` that is at the stage; it ends when there is a file `go`."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(SLOW)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "make@coco"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not Path("started").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    yield process
    Path("go").touch()
    process.wait()
    process.stderr.close()


def test_a_commit_waits_for_the_other_command(reproducing, monkeypatch, caplog):
    monkeypatch.setattr(dvc, "PAUSE", 0.1)
    caplog.set_level(logging.INFO, "datasetdm")
    sleep = time.sleep

    def end_the_other(seconds):
        Path("go").touch()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", end_the_other)
    md5 = dvc.commit("make", "coco", OUTPUT)
    assert f"is being blocked by: (PID {reproducing.pid}): " in caplog.text
    assert reproducing.wait() == 0
    assert yaml.safe_load(Path("dvc.lock").read_text())["stages"]["make@coco"]["outs"][0]["md5"] == md5


def test_a_commit_does_not_wait_for_ever_and_says_for_what(reproducing, monkeypatch):
    monkeypatch.setattr(dvc, "PATIENCE", 0.0)
    with pytest.raises(DatasetDMError, match=rf"has not recorded it: .*PID {reproducing.pid}\): .*repro"):
        dvc.commit("make", "coco", OUTPUT)


def test_what_no_waiting_would_help_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    Path("dvc.yaml").write_text(SLOW)
    with pytest.raises(DatasetDMError, match=r"`dvc commit make@coco` failed: .*data/out.* does not exist"):
        dvc.commit("make", "coco", OUTPUT)
