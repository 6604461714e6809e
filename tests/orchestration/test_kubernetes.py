"""A run whose steps are jobs of Kubernetes; a server that answers as its API does starts processes for containers."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterEventType, DagsterInstance

from orchestration import launch

pytest.importorskip("dagster_k8s")
pytestmark = pytest.mark.extended

PROJECT = Path(__file__).parents[2]
MODULE = "toy_definitions_of_kubernetes"
JOBS = "/apis/batch/v1/namespaces/lab/jobs"
DEFINITIONS = """
import os
from pathlib import Path
from dagster import Definitions, DynamicOut, DynamicOutput, In, Nothing, Out, RetryPolicy
from dagster import define_asset_job, graph_asset, op
from orchestration.engines import executor_of_run

@op(out=DynamicOut(Nothing))
def plan():
    for key in ("a", "b"):
        yield DynamicOutput(None, mapping_key=key)

@op(ins={"start": In(Nothing)}, out=Out(Nothing), retry_policy=RetryPolicy(max_retries=1))
def unit(context) -> None:
    mark = Path(f"{context.get_mapping_key()}.txt")
    if mark.name == "b.txt" and not mark.exists():
        mark.write_text("")
        os._exit(1)  # as if its node had died
    mark.write_text(os.environ["POD"])

@op(ins={"units": In(Nothing)}, out=Out(Nothing))
def finish() -> None: ...

@graph_asset
def thing():
    return finish(units=plan().map(lambda key: unit(start=key)).collect())

defs = Definitions(assets=[thing], jobs=[define_asset_job("coco", selection="*")], executor=executor_of_run)
"""


class Cluster(ThreadingHTTPServer):
    """Jobs by name: what was asked for, and the process that does it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.jobs: dict[str, tuple[dict[str, Any], subprocess.Popen[bytes]]] = {}

    def start(self, job: dict[str, Any]) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        process = subprocess.Popen(
            container["args"],
            env={**os.environ, **variables, "PYTHONPATH": f"{PROJECT}{os.pathsep}.", "POD": job["metadata"]["name"]},
        )
        self.jobs[job["metadata"]["name"]] = (job, process)

    def described(self, name: str) -> dict[str, Any]:
        job, process = self.jobs[name]
        code = process.poll()
        status = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
        return {**job, "status": status}


class Api(BaseHTTPRequestHandler):
    server: Cluster

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path.split("?")[0] == JOBS
        self.server.start(job)
        self.answer(job)

    def do_GET(self) -> None:
        self.answer(self.server.described(self.path.removeprefix(f"{JOBS}/").removesuffix("/status")))

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing: the test's output stays readable."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        names = {"cluster": "lab", "user": "lab"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "lab", "user": {}}],
            "contexts": [{"name": "lab", "context": names}],
            "current-context": "lab",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        yield server
        server.shutdown()


def test_every_step_is_a_job_and_that_of_a_lost_pod_is_repeated(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{MODULE}.py").write_text(DEFINITIONS)
    (tmp_path / "home").mkdir()
    launcher = {
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": str(tmp_path / "home"),
        "job_namespace": "lab",
        "load_incluster_config": False,
        "kubeconfig_file": str(tmp_path / "kubeconfig"),
    }
    content = {"run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher}}
    (tmp_path / "home" / "dagster.yaml").write_text(yaml.safe_dump(content))
    settings = {
        "job_image": "registry.example.org/datasetdm:gpu",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "datasetdm"}}],
        "volume_mounts": [{"name": "data", "mountPath": "/project/data"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    execution = {"execution": {"config": {"processes": 2, "kubernetes": settings}}}
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setattr(launch, "MODULE", MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with DagsterInstance.get() as instance:
        assert launch.run_job("coco", execution, instance)
        (run,) = instance.get_runs()
        repeated = [
            entry.dagster_event.step_key
            for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_UP_FOR_RETRY)
        ]
    assert repeated == ["thing.unit[b]"]
    assert len(cluster.jobs) == 5  # plan, two units of which one is repeated, finish
    assert {(tmp_path / f"{key}.txt").read_text() for key in "ab"} < cluster.jobs.keys()
    for job, _ in cluster.jobs.values():
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == settings["job_image"]
        assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
        assert container["volumeMounts"] == [{"mountPath": "/project/data", "name": "data"}]
        assert pod["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "datasetdm"}}]
