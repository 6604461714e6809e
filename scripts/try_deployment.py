"""Does the project work with servers: PostgreSQL, S3, MLflow with authentication?

    python scripts/try_deployment.py                    # all of docs/deploy.md, in a temporary folder
    python scripts/try_deployment.py --keep DIR         # in a new folder that stays, with the logs of the servers
    python scripts/try_deployment.py --versions         # only what is there, and what is missing

Starts throw-away servers on the loopback address, runs the chain of a small benchmark against them as two machines
would, looks whether runs, models, files, assets and data have arrived, and stops them. Needs the packages of
requirements-deploy.lock, PostgreSQL and rclone; says what is missing and how to get it. Takes a few minutes. It ends
with 0 if everything was found.
"""

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import throwaway_servers as servers_of
from throwaway_servers import Servers, call, clean_environment, run_sql, status
from try_wheel import SHRINK

ROOT = Path(__file__).resolve().parents[1]
BENCHMARK = "nyu"
LOCKS = tuple(file.name for file in ROOT.glob("*.lock"))  # which models of the registry are logged with
NEEDED = ("datasetdm", "orchestration", *LOCKS, "dvc.yaml", ".dvcignore", ".dvc/config", "data/backbones")
PACKAGES = ("mlflow", "dagster", "dagster-postgres", "psycopg2-binary", "dvc", "dvc-s3", "boto3", "Flask-WTF")
DAGSTER_YAML = """
telemetry: {enabled: false}
storage:
  postgres:
    postgres_url: {env: DAGSTER_PG_URL}
"""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder, and leave it there")
    parser.add_argument("--versions", action="store_true", help="only say what is there and what is missing")
    options = parser.parse_args()
    for name, version in {**servers_of.versions(), **package_versions()}.items():
        print(f"{name:18}{version}")
    if problems := servers_of.missing():
        print("\n".join(["missing:", *(f"  {problem}" for problem in problems)]), file=sys.stderr)
        return 2
    if options.versions:
        return 0
    with ExitStack() as stack:
        if options.keep:
            options.keep.mkdir(parents=True)
            folder = options.keep.resolve()
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datasetdm-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user, and has to get to its folder
        trial = Trial(Servers(folder))
        stack.enter_context(servers_of.postgres(trial.servers, "dagster", "mlflow", "mlflow_auth"))
        trial.bucket_root = stack.enter_context(servers_of.s3(trial.servers, "mlflow", "dvc"))
        stack.enter_context(servers_of.mlflow(trial.servers))
        trial.step("servers answer")
        failures = trial.run()
    print("everything has arrived" if not failures else f"failed: {', '.join(failures)}", flush=True)
    return 1 if failures else 0


def package_versions() -> dict[str, str]:
    """Of those packages that are installed."""
    installed = {found.metadata["Name"].lower(): found.version for found in importlib.metadata.distributions()}
    return {name: installed[name.lower()] for name in PACKAGES if name.lower() in installed}


class Trial:
    """The steps. One that fails is named, and the others follow, if its results are not needed."""

    bucket_root: Path

    def __init__(self, servers: Servers) -> None:
        self.servers, self.start = servers, time.monotonic()
        self.project, self.other = servers.folder / "project", servers.folder / "other"

    def run(self) -> list[str]:
        """All steps; the names of those that failed."""
        self.only_users_get_in()
        self.set_up(self.project)
        self.chain()
        failures = []
        for look in (self.look_at_runs, self.look_at_assets, self.share_data, self.clean_up, self.back_up):
            try:
                look()
            except SystemExit as error:
                print(error, file=sys.stderr, flush=True)
                failures.append(look.__name__)
        return failures

    def step(self, text: str) -> None:
        """Say that something has worked."""
        print(f"{time.monotonic() - self.start:6.0f} s  {text}", flush=True)

    # --- the users of MLflow ---

    def only_users_get_in(self) -> None:
        """Without a password nobody reads; a user who is no administrator may log."""
        address = f"{self.servers.mlflow}/api/2.0/mlflow"
        expect(status(f"{address}/experiments/search?max_results=1") == 401, "MLflow answers a stranger")
        self.request(f"{address}/users/create", {"username": "worker", "password": f"worker-{self.servers.password}"})
        self.step("MLflow refuses strangers (401); its administrator has made the user worker")

    def request(self, address: str, content: dict[str, object]) -> None:
        """A request of MLflow's administrator."""
        account = b64encode(f"admin:{self.servers.password}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {account}"}
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(content).encode(), headers)):
            pass

    # --- a machine that works ---

    def environment(self, project: Path) -> dict[str, str]:
        """What .env of a working machine holds. It reaches the bucket of DVC, and MLflow's files through the server."""
        (project / ".dagster_home").mkdir(exist_ok=True)
        (project / ".dagster_home" / "dagster.yaml").write_text(DAGSTER_YAML)
        return {
            **clean_environment(),
            **{name: value for name, value in self.servers.s3_account.items() if name.startswith("AWS_")},
            "DAGSTER_HOME": str(project / ".dagster_home"),
            "DAGSTER_PG_URL": self.servers.store("dagster"),
            "MLFLOW_TRACKING_URI": self.servers.mlflow,
            "MLFLOW_TRACKING_USERNAME": "worker",
            "MLFLOW_TRACKING_PASSWORD": f"worker-{self.servers.password}",
            "OMP_NUM_THREADS": "1",
        }

    def set_up(self, project: Path) -> None:
        """A checkout with a small benchmark; DVC pushes to S3."""
        project.mkdir()
        for name in NEEDED:
            source, goal = ROOT / name, project / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, goal)
        (project / "dvc.lock").unlink(missing_ok=True)
        call([sys.executable, "-c", SHRINK, ROOT / "params.yaml", BENCHMARK], cwd=project)
        for words in (
            ["config", "--local", "core.no_scm", "true"],
            ["remote", "add", "--default", "storage", "s3://dvc/project"],
            ["remote", "modify", "storage", "endpointurl", self.servers.s3],
        ):
            self.at(project, "dvc", *words)

    def at(self, project: Path, module: str, *words: str) -> str:
        """The output of `python -m module ...` in a project."""
        return call([sys.executable, "-m", module, *words], cwd=project, env=self.environment(project))

    def chain(self) -> None:
        """The job of a benchmark, as `make ui` or a person starts it."""
        self.at(self.project, "dagster", "instance", "migrate")
        self.at(self.project, "orchestration.launch", BENCHMARK)
        self.step(f"the job {BENCHMARK} has run to its end")

    # --- what has arrived ---

    def look_at_runs(self) -> None:
        """Runs are in PostgreSQL, files in S3, and the registry's champion loads through the server."""
        counts = dict(run_sql(self.servers, "mlflow", "SELECT status, count(*) FROM runs GROUP BY status"))
        expect(set(counts) == {"FINISHED"}, f"MLflow's runs are {counts}")
        files = [path for path in (self.bucket_root / "mlflow").rglob("*") if path.is_file()]
        pictures, weights = (sum(path.suffix == end for path in files) for end in (".png", ".safetensors"))
        expect(pictures > 0 and weights > 0, f"the bucket mlflow has {len(files)} files")
        self.step(
            f"MLflow: {counts['FINISHED']} runs in PostgreSQL; {pictures} pictures, {weights} files of weights in S3"
        )
        code = (
            "from datasetdm.tracking import load_model; import numpy as np; "
            f"m = load_model('{BENCHMARK}_downstream', device='cpu'); "
            "print(type(next(iter(m.predict([np.zeros((64, 64, 3), np.uint8)])))).__name__)"
        )
        found = call([sys.executable, "-c", code], cwd=self.project, env=self.environment(self.project)).split()[-1]
        expect(found == "DepthMap", f"the champion finds {found}")
        self.step("the registry's champion was loaded through the server, and finds a depth map")

    def look_at_assets(self) -> None:
        """Dagster's history is in PostgreSQL, and nothing of it on the disk."""
        counts = dict(run_sql(self.servers, "dagster", "SELECT status, count(*) FROM runs GROUP BY status"))
        expect(counts == {"SUCCESS": 1}, f"Dagster's runs are {counts}")
        (assets,) = run_sql(self.servers, "dagster", "SELECT count(*) FROM asset_keys")[0]
        expect(int(str(assets)) == 9, f"Dagster knows {assets} assets")
        expect(not list(self.project.glob(".dagster_home/**/*.db")), "Dagster has written SQLite files")
        self.step(f"Dagster: the run and its {assets} assets are in PostgreSQL")

    def share_data(self) -> None:
        """Another machine gets all outputs out of S3, to the byte, and finds them up to date."""
        target = f"compare@{BENCHMARK}"
        self.at(self.project, "dvc", "push", target, "--with-deps")
        objects = [path for path in (self.bucket_root / "dvc").rglob("*") if path.is_file()]
        self.set_up(self.other)
        shutil.copy(self.project / "dvc.lock", self.other)
        self.at(self.other, "dvc", "pull", target, "--with-deps")
        self.at(self.other, "datasetdm", "unpack", BENCHMARK)
        ours, theirs = digests(self.project), digests(self.other)
        expect(ours == theirs and len(ours) > 20, f"{len(set(ours.items()) ^ set(theirs.items()))} files differ")
        self.step(f"DVC: {len(objects)} objects in S3; another project pulled the same {len(ours)} files")
        done = self.at(self.other, "datasetdm", "show", BENCHMARK)
        expect("| both" in done, done)

    # --- operating it ---

    def clean_up(self) -> None:
        """Runs that a newer one replaces are set aside through the server, and removed where its database is named."""
        before = len(list((self.bucket_root / "mlflow").rglob("*")))
        text = (self.project / "params.yaml").read_text()
        (self.project / "params.yaml").write_text(text.replace("iterations: 2", "iterations: 3"))
        self.at(self.project, "orchestration.launch", BENCHMARK)
        options = ["prune", "--only", "mlflow", "--days", "0", "--json"]
        found = json.loads(self.at(self.project, "datasetdm", *options))[0]
        expect(bool(found["items"]), "no run of MLflow was replaced")
        environment = {
            **self.environment(self.project),
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": self.servers.password,
            "MLFLOW_BACKEND_STORE_URI": self.servers.store("mlflow"),
        }
        command = [sys.executable, "-m", "datasetdm", *options, "--yes"]
        for _ in range(2):  # set aside, then remove
            call(command, cwd=self.project, env=environment)
        (left,) = run_sql(self.servers, "mlflow", "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'")[0]
        expect(left == 0, f"{left} runs are still set aside")
        after = len(list((self.bucket_root / "mlflow").rglob("*")))
        self.step(
            f"prune: {len(found['items'])} replaced runs are gone; the bucket had {before} entries before, now {after}"
        )
        dagster = ["prune", "--only", "dagster", "--days", "0", "--yes"]
        self.at(self.project, "datasetdm", *dagster)
        (runs,) = run_sql(self.servers, "dagster", "SELECT count(*) FROM runs")[0]
        self.step(f"prune: Dagster's history keeps {runs} of 2 runs")

    def back_up(self) -> None:
        """pg_dump before an upgrade, and the way back."""
        programs = servers_of.postgres_folder()
        assert programs is not None
        tables = {"mlflow": "runs", "dagster": "event_logs"}
        for name, table in tables.items():
            dump = self.servers.folder / f"{name}.dump"
            call([programs / "pg_dump", "--format", "custom", "--file", dump, self.servers.database(name)])
            run_sql(self.servers, "postgres", f"CREATE DATABASE restored_{name}")
            call([programs / "pg_restore", "--dbname", self.servers.database(f"restored_{name}"), dump])
            count = f"SELECT count(*) FROM {table}"
            here, there = (run_sql(self.servers, database, count) for database in (name, f"restored_{name}"))
            expect(here == there, f"{table}: {here} and, restored, {there}")
        self.at(self.project, "dagster", "instance", "migrate")
        self.at(self.project, "mlflow", "db", "upgrade", self.servers.store("mlflow"))
        self.step("pg_dump and pg_restore: both stores came back whole; both upgrades ran")


def digests(project: Path) -> dict[str, str]:
    """Output -> its sha256; the outputs that DVC tracks, and the images that it unpacks."""
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    # What is no output of a stage: DVC does not track it.
    apart = ("data/.work", "data/raw", "data/backbones", "data/reports/leaderboard", "data/reports/.leaderboard")
    names = {path.relative_to(project).as_posix(): path for path in files if path.name != ".gitignore"}
    ours = {name: path for name, path in names.items() if not name.startswith(apart) and ".variety." not in name}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in ours.items()}


def expect(condition: bool, otherwise: str) -> None:
    """End the trial if something is not as it should be."""
    if not condition:
        sys.exit(f"failed: {otherwise}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {error}")
