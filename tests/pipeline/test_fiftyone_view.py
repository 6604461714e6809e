"""`view --fiftyone`: what is shown of the set of each task, and FiftyOne's own word on it where it is there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline import fiftyone_view
from datasetdm.tasks import build_task
from tests.datasets.exporting.conftest import CATEGORIES, SETTINGS, samples_of, source_set
from tests.fiftyone_process import ask_fiftyone, needs_fiftyone

NAMES = [f"{number:06d}.png" for number in range(6)]
Show = Callable[[str], tuple[list[Any], dict[str, Any]]]


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Makes a set of a task; returns its samples, and what is said of it."""

    def describe(task: str) -> tuple[list[Any], dict[str, Any]]:
        samples = samples_of(task, names=NAMES)
        source_set(tmp_path, task, samples, "seed_0")  # type: ignore[arg-type]
        rows = {
            "image": [*NAMES, NAMES[0], "rejected.png"],
            "decoder": ["seed_0"] * 6 + ["seed_1", "seed_0"],
            "accepted": [True] * 7 + [False],
            "prompt": [f"“{number}”" for number in range(8)],
            "seed": range(10, 18),
            "score": np.linspace(0, 1, 8),
        }
        monkeypatch.setattr(fiftyone_view, "read_manifest", lambda *_: pd.DataFrame(rows))
        built = build_task(SETTINGS[task], CATEGORIES[task])
        context: Any = SimpleNamespace(
            benchmark=task,
            paths=SimpleNamespace(synthetic=tmp_path),
            seeds=[0],
            task=lambda: built,
            settings=SimpleNamespace(task=SETTINGS[task]),
        )
        return samples, fiftyone_view.describe_for_fiftyone(context)

    return describe


@pytest.mark.parametrize(
    ("task", "reader"), [("instance", "coco"), ("pose", "coco"), ("semantic", "masks"), ("depth", "depth")]
)
def test_files_exist_and_every_accepted_image_has_its_facts(described: Show, task: str, reader: str) -> None:
    samples, found = described(task)
    assert (found["name"], found["reader"]) == (task, reader)
    assert Path(found["labels"]).exists() and found["address"] == "127.0.0.1"
    assert {path.name for path in Path(found["images"]).iterdir()} == {sample.name for sample in samples}
    assert {tuple(values) for values in found["columns"].values()} == {tuple(NAMES)}
    assert found["columns"]["prompt"][NAMES[0]] == "“0”" and found["columns"]["seed"][NAMES[5]] == 15


def test_where_it_is_not_installed_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in ("/no/such/python", ""):  # "": the project's own environment, which has none
        monkeypatch.setenv("DATASETDM_FIFTYONE", place)
        with pytest.raises(DatasetDMError, match=r"pip install fiftyone.*DATASETDM_FIFTYONE"):
            fiftyone_view.open_in_fiftyone(None)  # type: ignore[arg-type]


STOPPABLE = """
import sys
from datasetdm.pipeline import fiftyone_view
fiftyone_view._check_installed = fiftyone_view.describe_for_fiftyone = lambda *_: {}
fiftyone_view.SCRIPT = sys.argv[1]
fiftyone_view.PATIENCE = float(sys.argv[2])
fiftyone_view.open_in_fiftyone(None)
"""
SHOWING = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("shown", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("closed", flush=True)
"""


@pytest.mark.parametrize(("group", "patience", "said"), [(True, 600, "closed\n"), (False, 0, "")])
def test_being_stopped_is_how_it_ends(tmp_path: Path, group: bool, patience: float, said: str) -> None:
    """Ctrl-C reaches both processes, a signal to the command only the command."""
    script = tmp_path / "script.py"
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
    script.write_text(heard + SHOWING)
    command = [sys.executable, "-c", heard + STOPPABLE, script, str(patience)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "shown\n"
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        assert (process.stdout.read(), process.wait()) == (said, 0)


LOOK = f"""
import runpy
dataset = runpy.run_path({str(fiftyone_view.SCRIPT)!r})["make_dataset"](arguments[0])
answer = []
shown = {{"fields": dataset.app_config.active_fields.paths, "colours": dataset.app_config.color_scheme.color_by}}
shown |= {{"title": dataset.name, "unwatched": fiftyone.config.do_not_track}}
for one in sorted(dataset, key=lambda one: one.filepath):
    answer.append({{"shown": shown, "file": one.filepath, "prompt": one.prompt, "seed": one.seed}})
    for field in ("labels", "segmentations"):
        if one.has_field(field) and hasattr(one[field], "detections"):
            answer[-1]["objects"] = [[each.label, int(each.mask.sum())] for each in one[field].detections]
        elif one.has_field(field) and one[field] is not None:
            answer[-1]["mask"] = one[field].get_mask().tolist()
    if one.has_field("keypoints"):
        answer[-1]["points"] = [each.points for each in one.keypoints.keypoints]
    if one.has_field("depth"):
        answer[-1]["depth"] = one.depth.map.tolist()
"""


@pytest.mark.extended
@needs_fiftyone
@pytest.mark.parametrize("task", ["instance", "pose", "semantic", "depth"])
def test_fiftyone_has_the_annotations(described: Show, task: str) -> None:
    samples, description = described(task)
    names = [category.name for category in CATEGORIES[task]]
    for number, (sample, found) in enumerate(zip(samples, ask_fiftyone(LOOK, description), strict=True)):
        assert Path(found["file"]).name == sample.name
        assert (found["prompt"], found["seed"]) == (f"“{number}”", 10 + number)
        if "mask" in found:
            np.testing.assert_array_equal(found["mask"], sample.target.labels)
        if "depth" in found:
            np.testing.assert_allclose(found["depth"], sample.target.depth, atol=0.01)
        if "objects" in found:
            labels = getattr(sample.target, "labels", [0] * len(sample.target))
            assert [label for label, _ in found["objects"]] == [names[label] for label in labels]
            areas = [mask.sum() for mask in sample.target.masks]
            np.testing.assert_allclose([area for _, area in found["objects"]], areas, rtol=0.02)
        if "points" in found:
            size = np.array(sample.image.shape[1::-1])
            for person, points in zip(sample.target.keypoints, found["points"], strict=True):
                seen = person[:, 2] > 0
                np.testing.assert_allclose(np.array(points)[seen], person[seen, :2] / size, atol=1e-3)
    expected_fields = {"pose": ["keypoints", "segmentations"], "depth": ["depth"]}.get(task, ["labels"])
    assert sorted(found["shown"]["fields"]) == expected_fields and found["shown"]["colours"] == "value"
    assert found["shown"]["title"].startswith(task) and found["shown"]["unwatched"]
    expected = {"instance": "objects", "pose": "points", "semantic": "mask", "depth": "depth"}[task]
    assert expected in found
