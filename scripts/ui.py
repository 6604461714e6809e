"""Start Dagster and MLflow on the loopback address and stop both on Ctrl-C; `make ui` calls this.

Usage: python scripts/ui.py DAGSTER_PORT MLFLOW_PORT

With MLFLOW_TRACKING_URI=http... in .env, MLflow runs elsewhere, and only Dagster is started here.

What the servers print goes into a file; its end is shown if one of them fails.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from dotenv import load_dotenv

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / ".dagster_home" / "ui.log"
PATIENCE = 20  # seconds; time for a server to stop
LAST_LINES = 20
MLFLOW_STORE = ("--backend-store-uri", "sqlite:///mlflow/mlflow.db", "--artifacts-destination", "mlflow/artifacts")


def main() -> None:
    dagster_port, mlflow_port = sys.argv[1:3]
    os.chdir(ROOT)
    load_dotenv(ROOT / ".env")
    os.environ |= {"PYTHONWARNINGS": "ignore", "MLFLOW_PORT": mlflow_port}  # Dagster's pages link to MLflow
    shared = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")  # a server that others use, too
    is_shared = shared.startswith("http")
    mlflow = shared if is_shared else f"http://127.0.0.1:{mlflow_port}"
    started = commands(dagster_port, mlflow_port)[: 1 if is_shared else 2]
    # Also in a shell's background job, which starts with SIGINT ignored, and hands that on to the servers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    names = "Dagster" if is_shared else "Dagster and MLflow"
    print(f"Starting {names}, which takes about half a minute. Output goes to {LOG.relative_to(ROOT)}.")
    sys.stdout.flush()
    LOG.parent.mkdir(exist_ok=True)
    servers: list[subprocess.Popen[bytes]] = []
    try:
        with LOG.open("wb") as log:
            servers += [start(command, log.fileno()) for command in started]
        wait_for(servers, f"http://127.0.0.1:{dagster_port}/server_info", f"{mlflow}/health")
        print(f"Dagster  http://127.0.0.1:{dagster_port}")
        print(f"MLflow   {mlflow}/#/experiments?workflowType=machine_learning")
        print("         If an experiment opens with Traces, press Model training at the top left, once.")
        print(f"Ctrl-C stops {names}.", flush=True)
        while True:
            check(servers)
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
    finally:
        stop(servers)


def commands(dagster_port: str, mlflow_port: str) -> list[list[str]]:
    """The command lines of both servers, Dagster's first."""
    dagster = ["dagster", "dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", dagster_port]
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", mlflow_port, "--workers", "1", *MLFLOW_STORE]
    return [dagster, [*mlflow, "--uvicorn-opts", "--no-access-log"]]


def start(command: list[str], log: int) -> subprocess.Popen[bytes]:
    """A server in a session of its own: Ctrl-C reaches only this process, which stops each server with its children."""
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def wait_for(servers: list[subprocess.Popen[bytes]], *addresses: str) -> None:
    """Return when all addresses answer."""
    for address in addresses:
        while not answers(address):
            check(servers)
            time.sleep(0.5)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:  # nobody listens yet, or not for HTTP
        return False


def check(servers: list[subprocess.Popen[bytes]]) -> None:
    """Exit, with the last lines of the log, if a server has ended."""
    if any(server.poll() is not None for server in servers):
        lines = LOG.read_text(errors="replace").splitlines()[-LAST_LINES:]
        sys.exit("\n".join([*lines, f"One of the servers has ended; {LOG} has all that they said."]))


def stop(servers: list[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        send(server, signal.SIGINT)
    for server in servers:
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            send(server, signal.SIGKILL)


def send(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(server.pid, number)
    except ProcessLookupError:
        return  # it has ended already


if __name__ == "__main__":
    main()
