"""Concurrency heeds what a container, a batch system or the user allows."""

import builtins
import io
import os

import pytest
import torch
from joblib.externals.loky.backend import context

from datasetdm.utils import memory, processors, workers

V2 = {"/sys/fs/cgroup/cpu.max": "150000 100000\n"}  # one and a half of 64
V1 = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}
UNLIMITED = {"/sys/fs/cgroup/cpu.max": "max 100000\n"}


@pytest.fixture
def machine(monkeypatch):
    """A machine with 64 processors, with the files of a control group."""
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def with_files(files, affinity=64):
        def fake_open(name, *arguments):
            return io.StringIO(files[name]) if str(name).startswith("/sys/fs/cgroup") else builtins.open(name)

        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(affinity)))
        monkeypatch.setattr(os.path, "exists", lambda name: name in files)
        monkeypatch.setattr(context, "open", fake_open, raising=False)

    return with_files


@pytest.mark.parametrize(("files", "allowed"), [(V2, 2), (V1, 2), (UNLIMITED, 64)], ids=["v2", "v1", "no quota"])
def test_a_quota_bounds_threads_and_workers(machine, monkeypatch, files, allowed):
    machine(files)
    assert processors.num_processors() == allowed
    processors.heed_quota()
    assert os.environ.get("OMP_NUM_THREADS", "64") == str(allowed)
    monkeypatch.setattr(workers, "memory_limit", lambda: 2**40)
    assert workers.num_workers(torch.device("cuda")) == min(8, allowed)
    assert workers.num_workers(torch.device("cpu")) == 0


def test_what_the_user_chose_is_kept(machine):
    machine(V2)
    os.environ["OMP_NUM_THREADS"] = "5"
    processors.heed_quota()
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "OPENCV_FOR_THREADS_NUM" not in os.environ


def test_libraries_see_to_the_affinity_themselves(machine):
    machine(UNLIMITED, affinity=3)
    assert processors.num_processors() == 3
    processors.heed_quota()
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["max", None], None),
        (["3000000\n", None], 3_000_000),
        ([None, "2000000"], 2_000_000),
        ([None, str(2**63)], None),
    ],
    ids=["no limit", "v2", "v1", "v1 without a limit"],
)
def test_a_container_s_memory_counts(tmp_path, monkeypatch, texts, expected):
    files = tmp_path / "v2", tmp_path / "v1"
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", files)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    assert memory.memory_limit() == (expected or machine)


def test_little_memory_bounds_the_workers(machine, monkeypatch):
    machine(UNLIMITED)
    monkeypatch.setattr(workers, "memory_limit", lambda: 3 * 2**30)
    assert workers.num_workers(torch.device("cuda")) == 3
