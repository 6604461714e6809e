"""Does a set that is drawn on two machines, one of which is killed, equal the one that is drawn on one machine?

    .venv/bin/python scripts/try_ray.py               # about seven minutes on two cores
    .venv/bin/python scripts/try_ray.py --keep DIR    # in a folder that stays

Needs the extra `ray`, Linux, and `unshare`. Two nodes of a Ray cluster run on this machine. The second one has a
separate namespace of processes, as a container has: neither node sees whether a process of the other one lives. A small
set is drawn twice, by one process and on the cluster. There the second node is killed, all its processes at once, while
it is making a unit. Exit code 0: the set was completed, is the same byte for byte, and nothing in it or around it is
doubled.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", "build", ".dagster_home", "mlflow", "data", "*_cache", "__pycache__", ".env", ".dvc")
SMALL = {
    "task": "instance",
    "seeds": [0],
    "ingest": {"num_real": 4, "num_dev": 3, "num_oracle": 3, "num_test": 4},
    "decoder": {
        "hidden_dim": 32,
        "num_heads": 4,
        "num_queries": 6,
        "num_layers": 1,
        "feedforward_dim": 32,
        "views_per_image": 2,
        "iterations": 4,
        "batch_size": 2,
        "evaluate_every": 2,
    },
    "prompts": {"num_prompts": 8},
    # Four iterations teach nothing: every object is taken, so that there is a set.
    "synthesis": {
        "num_images": 48,
        "shard_size": 8,
        "sampler": {"num_inference_steps": 10},
        "filter": {"score_threshold": 0.0, "min_area": 0.0},
    },
}
FINISHED_BEFORE = 2  # units that are finished when the node is killed
PATIENCE = 1200.0  # seconds for one run


class Wrong(Exception):
    """The trial failed; the message says how."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder, which must be new, and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="try_ray") as scratch:
        try:
            report = try_ray((options.keep or Path(scratch)).resolve())
        except Wrong as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    print(json.dumps(report, indent=2))
    return 0


def try_ray(folder: Path) -> dict[str, Any]:
    """Draw the set twice in `folder`, and compare; returns what happened."""
    one, two = folder / "one", folder / "two"
    prepare(one)
    shutil.copytree(one, two, symlinks=True)
    alone = wait(materialize(one, {}))
    head, dashboard = free_port(), free_port()
    with first_node(two, head, dashboard), second_node(two, head) as second:
        start = time.monotonic()
        run = materialize(two, {"ray": {"address": f"http://127.0.0.1:{dashboard}", "num_cpus": 1}})
        killed = kill_amid_a_unit(second, two, run)
        wait(run)
        spread, jobs = time.monotonic() - start, jobs_by_node(dashboard)
    compare(one, two)
    return {
        "versions": {name: version(name) for name in ("ray", "dagster", "dagster-ray", "torch")}
        | {"python": platform.python_version(), "kernel": platform.release()},
        "seconds": {"one process": round(alone), "two nodes, one of them killed": round(spread)},
        "killed": killed,
        "jobs": jobs,
        "result": "complete, the same bytes, nothing doubled",
    }


# --- the projects ---


def prepare(project: Path) -> None:
    """A copy of the checkout with small settings and fresh stores, and all that the set is drawn from."""
    shutil.copytree(ROOT, project, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(ROOT / "data" / "backbones", project / "data" / "backbones")
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    content = yaml.safe_load((project / "params.yaml").read_text())
    block = content["benchmarks"]["coco"]
    block.update(SMALL)
    block["source"]["miniworld"].update(num_train=40, num_val=10)
    content["benchmarks"], content["device"] = {"coco": block}, "cpu"
    content.pop("study", None)
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for name in (".dagster_home", "mlflow"):
        (project / name).mkdir()
    shutil.copy(ROOT / "scripts" / "dagster.yaml", project / ".dagster_home")
    python(project, "-m", "dvc", "config", "--local", "core.no_scm", "true")
    python(project, "-m", "dagster", "instance", "migrate")
    python(project, "-m", "mlflow", "db", "upgrade", "sqlite:///mlflow/mlflow.db")
    python(project, "-m", "datasetdm", "run", "coco", "--until", "write_prompts")


def environment(project: Path) -> dict[str, str]:
    """One thread, so that both ways compute alike; the programs of this environment first; nobody is called home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATASETDM_", "RAY_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "DAGSTER_HOME": str(project / ".dagster_home"),
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONWARNINGS": "ignore",
    }


def python(project: Path, *arguments: str) -> str:
    """What Python prints in a project."""
    command = [sys.executable, *arguments]
    print(f"$ python {' '.join(arguments)}", file=sys.stderr, flush=True)
    run = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True)
    if run.returncode:
        raise Wrong(f"python {' '.join(arguments)} ended with code {run.returncode}: {run.stderr[-3000:]}")
    return run.stdout


def materialize(project: Path, execution: dict[str, Any]) -> "Run":
    """Begin to draw the set."""
    return Run(project, json.dumps({"execution": {"config": execution}}))


class Run:
    """`dagster asset materialize` in the background, with its output in a file."""

    def __init__(self, project: Path, config: str) -> None:
        self.log, self.start = project / "run.log", time.monotonic()
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "synthetic_coco"]
        command += ["-m", "orchestration.definitions", "--config-json", config]
        print(f"$ python {' '.join(command[1:])}", file=sys.stderr, flush=True)
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, cwd=project, env=environment(project), stdout=stream, stderr=subprocess.STDOUT
            )


def wait(run: Run) -> float:
    """The seconds that a run took, once it has succeeded."""
    try:
        code = run.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        run.process.kill()
        raise Wrong(f"the run did not end within {PATIENCE:.0f} s: {run.log.read_text()[-3000:]}") from None
    if code:
        raise Wrong(f"the run ended with code {code}: {run.log.read_text()[-3000:]}")
    return time.monotonic() - run.start


# --- the cluster ---


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def first_node(project: Path, head: int, dashboard: int) -> Iterator[None]:
    """The first node, whose dashboard takes the jobs; it is started in the project, as every node is."""
    options = ["--head", f"--port={head}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    with started(project, *options, separate=False):
        wait_for(dashboard)
        yield


@contextmanager
def second_node(project: Path, head: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another node, which sees no process of the first one."""
    options = [f"--address=127.0.0.1:{head}", f"--dashboard-agent-listen-port={free_port()}"]
    with started(project, *options, separate=True) as process:
        wait_for_nodes(head, 2)
        yield process


@contextmanager
def started(project: Path, *options: str, separate: bool) -> Iterator[subprocess.Popen[bytes]]:
    shared = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=100000000", "--block"]
    command = [str(Path(sys.executable).parent / "ray"), "start", *options, *shared]
    if separate:  # to kill its first process kills all
        rights = [] if os.getuid() == 0 else ["--map-root-user"]
        command = ["unshare", *rights, "--pid", "--fork", "--mount-proc", "--kill-child", *command]
    log = project.parent / f"node_{int(separate)}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=project, env=environment(project), stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL if separate else signal.SIGTERM)
        process.wait(60)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with closing(socket.socket()) as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise Wrong("Ray's dashboard does not answer")


def wait_for_nodes(head: int, count: int) -> None:
    """Until that many nodes belong to the cluster."""
    import ray

    ray.init(address=f"127.0.0.1:{head}", log_to_driver=False, logging_level="ERROR")
    try:
        deadline = time.monotonic() + 120
        while sum(found["Alive"] for found in ray.nodes()) < count:
            if time.monotonic() > deadline:
                raise Wrong("the second node did not join the cluster")
            time.sleep(0.5)
    finally:
        ray.shutdown()


def jobs_by_node(dashboard: int) -> dict[str, dict[str, int]]:
    """How many steps ended how, node by node."""
    from ray.job_submission import JobSubmissionClient

    jobs = JobSubmissionClient(f"http://127.0.0.1:{dashboard}").list_jobs()
    steps = [job for job in jobs if (job.submission_id or "").startswith("dagster-step")]
    nodes = {name: f"node {number}" for number, name in enumerate(dict.fromkeys(job.driver_node_id for job in steps))}
    counts: dict[str, Counter[str]] = {}
    for job in steps:
        counts.setdefault(nodes[job.driver_node_id], Counter())[str(job.status.value)] += 1
    return {name: dict(count) for name, count in sorted(counts.items())}


def kill_amid_a_unit(second: subprocess.Popen[bytes], project: Path, run: Run) -> dict[str, Any]:
    """Kill the second node while it is making a unit, and some are finished."""
    here = python(project, "-c", "from datasetdm.utils.processes import machine; print(machine())").strip()
    while run.process.poll() is None:
        time.sleep(0.05)
        finished, held = finished_units(project), held_leases(project)
        mine = {name: unit for name, unit in held.items() if not name.startswith(here)}
        if len(finished) < FINISHED_BEFORE or not mine:
            continue
        time.sleep(1.0)  # amid its work
        if held_leases(project).keys() & mine.keys():
            second.kill()
            at = time.monotonic() - run.start
            return {"after seconds": round(at), "finished units": len(finished), "while making": sorted(mine.values())}
    raise Wrong(f"the run ended before the second node could be killed: {run.log.read_text()[-3000:]}")


def finished_units(project: Path) -> set[str]:
    return {file.stem for file in (project / "data/.work/synthesize").glob("*.files") if file.with_suffix("").is_dir()}


def held_leases(project: Path) -> dict[str, str]:
    """Holder -> unit, of the units that are being made."""
    return {file.name: file.parent.stem for file in (project / "data/.work/synthesize").glob("*.lease/*")}


# --- the results ---


def compare(one: Path, two: Path) -> None:
    """Compare the sets, the units and the records of both runs."""
    for part in ("data/synthetic", "data/.work/synthesize"):
        first, second = contents(one / part), contents(two / part)
        if not first or first != second:
            different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
            raise Wrong(f"{part} differs in {len(different)} of {len(first)} files, such as {different[:5]}")
    locks = [yaml.safe_load((project / "dvc.lock").read_text())["stages"]["synthesize@coco"] for project in (one, two)]
    if locks[0]["outs"] != locks[1]["outs"]:
        raise Wrong("dvc.lock differs")
    if left := [str(path) for path in (two / "data").rglob("*") if path.suffix in (".lease", ".tmp", ".old")]:
        raise Wrong(f"left behind: {left}")
    with closing(sqlite3.connect(two / "mlflow" / "mlflow.db")) as store:
        runs = store.execute("SELECT status FROM runs WHERE name LIKE '%synthesize%'").fetchall()
    if runs != [("FINISHED",)]:
        raise Wrong(f"MLflow has these runs of the stage instead of one: {runs}")


def contents(folder: Path) -> dict[str, str]:
    """File -> sha256, but for what says when: `.seconds` and `.files`."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix not in (".seconds", ".files")]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


if __name__ == "__main__":
    sys.exit(main())
