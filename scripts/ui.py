"""Start Dagster and MLflow on the loopback address and stop both on Ctrl-C; `make ui` calls this.

Usage: python scripts/ui.py DAGSTER_PORT MLFLOW_PORT
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from dotenv import load_dotenv

ROOT = Path(__file__).resolve().parents[1]
MLFLOW_STORE = "--backend-store-uri sqlite:///mlflow/mlflow.db --artifacts-destination mlflow/artifacts"
PATIENCE = 20  # seconds; time for a server to stop


def main() -> None:
    dagster_port, mlflow_port = sys.argv[1:3]
    os.chdir(ROOT)
    load_dotenv(ROOT / ".env")
    subprocess.run([sys.executable, "-m", "orchestration.history"], check=False)  # closes runs that were killed
    dagster = f"dagster dev -m orchestration.definitions -h 127.0.0.1 -p {dagster_port}"
    mlflow = f"mlflow server --host 127.0.0.1 --port {mlflow_port} --workers 1 {MLFLOW_STORE}"
    print(f"Dagster http://127.0.0.1:{dagster_port}, MLflow http://127.0.0.1:{mlflow_port}; Ctrl-C stops both.")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Each server gets its own session, so Ctrl-C reaches only this process, which then stops each with its children.
    servers = [subprocess.Popen(shlex.split(line), start_new_session=True) for line in (dagster, mlflow)]
    try:
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
        print("One of the servers has ended, see above; stopping the other.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nStopping ...")
    finally:
        stop(servers)


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
