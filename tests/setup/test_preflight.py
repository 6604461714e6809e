"""What the preflight finds missing, on real sockets and a real environment."""

import socket
import subprocess
import sys
from pathlib import Path

import preflight
import pytest


def test_this_machine_lacks_nothing_but_disk(monkeypatch):
    monkeypatch.setattr(preflight, "DISK_CPU", 0)
    assert preflight.missing() == []


def test_busy_port_is_named_and_free_one_is_not():
    with socket.socket() as busy, socket.socket() as released:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        released.bind(("127.0.0.1", 0))
        taken, free = busy.getsockname()[1], released.getsockname()[1]
        released.close()
        command = [sys.executable, preflight.__file__, "--ports", str(taken), str(free)]
        answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 1
    assert f"Port {taken} on 127.0.0.1 is busy." in answer.stderr
    assert str(free) not in answer.stderr
    assert "DAGSTER_PORT=" in answer.stderr


def test_missing_tools_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    text = " ".join(what for what, _ in preflight.missing(cuda=True))
    assert "C++ compiler" in text
    assert "git was not found" in text
    assert "nvcc was not found" in text
    monkeypatch.setattr(preflight.sysconfig, "get_path", lambda name: f"/nowhere/{name}")
    lighter = " ".join(what for what, _ in preflight.missing(cuda=True, detection=False))
    assert "git was not found" in lighter
    assert not [tool for tool in ("C++ compiler", "nvcc", "Python.h") if tool in lighter]


@pytest.mark.parametrize("number", [(3, 10), (3, 14)])
def test_another_python_is_refused(monkeypatch, number):
    monkeypatch.setattr(sys, "version_info", (*number, 1, "final", 0))
    ((what, remedy),) = preflight.missing_python()
    assert "Python 3.11, 3.12 or 3.13 was not found" in what
    assert "PYTHON=" in remedy


def test_missing_headers_modules_libraries_and_disk(monkeypatch):
    monkeypatch.setattr(preflight, "MODULES", ("zlib", "no_such_module"))
    monkeypatch.setattr(preflight, "LIBRARIES", ("libno_such_library.so.1",))
    monkeypatch.setattr(preflight.sysconfig, "get_path", lambda name: f"/nowhere/{name}")
    monkeypatch.setattr(preflight, "DISK_CPU", 10**9)
    text = " ".join(what for what, _ in preflight.missing())
    assert "'no_such_module'" in text
    assert "'zlib'" not in text
    assert "/nowhere/include/Python.h" in text
    assert "libno_such_library.so.1" in text
    assert "GB are free" in text


def test_a_folder_that_path_or_sql_cannot_hold_is_told():
    assert preflight.misnamed_folder(Path("/home/me/what now? #1, 100 % it's")) == []
    ((what, remedy),) = preflight.misnamed_folder(Path('/home/me/a:b"c'))
    assert "':'" in what and "Rename" in remedy
