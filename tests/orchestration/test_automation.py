"""Sensor, schedule and webhook, with real files and a real receiver."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Definitions,
    Failure,
    RunRequest,
    asset,
    build_sensor_context,
    define_asset_job,
)

from orchestration.alerts import WEBHOOK, tell_webhook
from orchestration.automation import killed_runs, new_images_sensor, nightly_schedule
from orchestration.jobs import build_job, build_job_of_all

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a benchmark on photographs of its own, and one on the embedded world."""
    content = yaml.safe_load((PROJECT / "params.yaml").read_text())
    own = {**content["benchmarks"]["coco"], "source": {"format": "coco", "root": "photos"}}
    content["benchmarks"] = {"mine": own, "coco": content["benchmarks"]["coco"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "photos/train2017").mkdir(parents=True)
    (tmp_path / "photos/train2017/1.jpg").write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def test_new_images_run_their_benchmark_once_and_not_before_they_are_complete(photos: Path) -> None:
    sensor = new_images_sensor([build_job("mine"), build_job("coco")])
    context = build_sensor_context()

    def look() -> list[str | None]:
        found = list(sensor(context))  # type: ignore[call-overload]
        return [one.job_name for one in found if isinstance(one, RunRequest)]

    assert look() == look() == []  # what is there at the first look is not new
    (photos / "train2017/2.jpg").write_bytes(b"tw")
    assert look() == []  # it may still be growing
    (photos / "train2017/2.jpg").write_bytes(b"two")
    assert look() == []
    assert look() == ["mine"]
    assert look() == []
    os.utime(photos / "train2017/1.jpg", (1, 2_000_000_000))  # an image was replaced
    assert [look(), look(), look()] == [[], ["mine"], []]


def test_all_but_the_closing_of_killed_runs_is_off() -> None:
    assert new_images_sensor([build_job("mine")]).default_status == DefaultSensorStatus.STOPPED
    assert nightly_schedule(build_job_of_all()).default_status == DefaultScheduleStatus.STOPPED
    assert killed_runs.default_status == DefaultSensorStatus.RUNNING


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """A webhook's receiver, and what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("address", ["", "/hook", "/broken"])
def test_a_failed_step_tells_the_webhook(
    receiver: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    host, got = receiver
    monkeypatch.setenv(WEBHOOK, f"{host}{address}") if address else monkeypatch.delenv(WEBHOOK, raising=False)

    @asset
    def downstream_mine() -> None:
        raise Failure("photos/1.jpg is broken.", allow_retries=False)

    job = define_asset_job("mine", selection="*", hooks={tell_webhook})
    made = Definitions(assets=[downstream_mine], jobs=[job]).resolve_job_def("mine")
    result = made.execute_in_process(raise_on_error=False)
    assert not result.success
    if not address:
        assert got == []
        return
    (message,) = got
    assert message["text"] == "mine: downstream_mine failed. photos/1.jpg is broken."
    assert message["run_id"] == result.run_id
