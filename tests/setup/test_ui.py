"""`make ui` with two small servers in place of Dagster and MLflow."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

SERVER = """#!{python}
import sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/server_info", "/health") else 404)
        self.end_headers()

print("starting", sys.argv[1:], flush=True)
if "{mood}" == "broken":
    sys.exit("out of cheese")
time.sleep(0.5)
port = next(int(value) for flag, value in zip(sys.argv, sys.argv[1:]) if flag in ("-p", "--port"))
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
PROGRAM = "import pathlib, ui; ui.ROOT = pathlib.Path({root!r}); ui.LOG = ui.ROOT / '.dagster_home/ui.log'; ui.main()"


@pytest.fixture
def start(tmp_path: Path):
    """Starts the program with servers that work or are broken; returns it and the ports."""
    running = []

    def begin(mood: str) -> tuple[subprocess.Popen[str], list[str]]:
        for name in ("dagster", "mlflow"):
            (tmp_path / name).write_text(SERVER.format(python=sys.executable, mood=mood if name == "mlflow" else ""))
            (tmp_path / name).chmod(0o755)
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            ports = [str(taken.getsockname()[1]) for taken in (one, other)]
        environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(SCRIPTS)}
        command = [sys.executable, "-c", PROGRAM.format(root=str(tmp_path)), *ports]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes))
        return running[-1], ports

    yield begin
    for process in running:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_addresses_are_printed_once_they_answer_and_the_end_is_quiet(start, tmp_path: Path, number) -> None:
    program, (dagster, mlflow) = start("works")
    lines = [program.stdout.readline().rstrip() for _ in range(5)]
    assert "which takes about half a minute" in lines[0] and ".dagster_home/ui.log" in lines[0]
    assert lines[1].endswith(f"http://127.0.0.1:{dagster}")
    assert lines[2].endswith(f"http://127.0.0.1:{mlflow}/#/experiments?workflowType=machine_learning")
    assert "press Model training" in lines[3] and lines[4].startswith("Ctrl-C stops")
    for port in (dagster, mlflow):
        socket.create_connection(("127.0.0.1", int(port)), 5).close()
    program.send_signal(number)
    rest, errors = program.communicate(timeout=30)
    assert (program.returncode, rest.strip(), errors) == (0, "Stopping ...", "")
    assert "--no-access-log" in (tmp_path / ".dagster_home/ui.log").read_text()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(mlflow)), 5)


def test_an_mlflow_server_elsewhere_is_not_started_again(start, monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}/")
        program, (_, mlflow) = start("works")
        assert program.stdout.readline().startswith("Starting Dagster, which")
        with taken.accept()[0] as asked:
            assert b"GET /health" in asked.recv(1000)
            asked.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        program.stdout.readline()
        assert program.stdout.readline().strip() == f"MLflow   {address}/#/experiments?workflowType=machine_learning"
        assert "press Model training" in program.stdout.readline()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", int(mlflow)), 5)
    assert program.stdout.readline().strip() == "Ctrl-C stops Dagster."


def test_a_server_that_fails_shows_why_and_takes_the_other_along(start) -> None:
    program, (dagster, _) = start("broken")
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 1
    assert "out of cheese" in errors and "One of the servers has ended" in errors and "Traceback" not in errors
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(dagster)), 5)
