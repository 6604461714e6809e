"""Training, storing and using a dense network, on drawn scenes of boxes and balls over a floor."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.dense import DenseModel, load
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks.base import Task
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.semantic import SemanticTask

CATEGORIES = tuple(Category(id=10 + number, name=name) for number, name in enumerate(("floor", "box", "ball")))
TASKS: dict[str, Task] = {
    "semantic": SemanticTask(CATEGORIES),
    "depth": DepthTask(CATEGORIES, config.DepthAnnotation(min_depth=0.1, max_depth=8.0)),
}
ITERATIONS = {"semantic": 50, "depth": 40}
# The floor alone has an IoU of 0.3; the best constant depth is 0.5 off.
LEARNT = {"semantic": ("miou", 0.45, 1.0), "depth": ("abs_rel", 0.0, 0.4)}


def draw_scene(rng: np.random.Generator, task_name: str, number: int, size: int = 64) -> Sample:
    """Up to three things, darker the farther away."""
    labels, depth = np.zeros((size, size), dtype=np.uint8), np.full((size, size), 6.0, dtype=np.float32)
    image = np.full((size, size, 3), (40, 60, 40), dtype=np.uint8)
    for metres in sorted(rng.uniform(1, 5, rng.integers(1, 4)), reverse=True):
        mask, label = np.zeros((size, size), dtype=np.uint8), int(rng.integers(1, 3))
        x, y, extent = (int(value) for value in (*rng.integers(12, size - 12, 2), 36 / (1 + metres)))
        if label == 1:
            cv2.rectangle(mask, (x - extent, y - extent), (x + extent, y + extent), 1, thickness=-1)
        else:
            cv2.circle(mask, (x, y), extent, 1, thickness=-1)
        colour = np.array((230, 60, 40) if label == 1 else (30, 80, 220)) * (1.2 - metres / 6)
        labels[mask > 0], depth[mask > 0], image[mask > 0] = label, metres, colour.clip(0, 255)
    targets = {
        "semantic": SemanticMap.of(labels),
        "depth": DepthMap(depth=depth, valid_mask=np.ones(depth.shape, dtype=bool)),
    }
    return Sample(name=f"{number}.png", image=image, caption="", target=targets[task_name])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Labelled]]:
    """Subsets `train` and `dev` of each task."""
    found: dict[str, dict[str, Labelled]] = {}
    for name, task in TASKS.items():
        for subset, seed in (("train", 0), ("dev", 1)):
            folder, rng = tmp_path_factory.mktemp(f"{name}_{subset}"), np.random.default_rng(seed)
            standard_format(*task.kind).save(folder, subset, (draw_scene(rng, name, number) for number in range(12)))
            found.setdefault(name, {})[subset] = Labelled(folder=folder, subset=subset)
    return found


def make_settings(**changes: object) -> config.Downstream:
    values = {"model": "upernet_r18", "image_size": 64, "iterations": 2, "batch_size": 2, "learning_rate": 2e-3}
    return config.Downstream(**{**values, **changes})


def run(task_name: str, data: dict[str, Labelled], out: Path, seed: int = 0, **changes: object) -> dict[str, float]:
    return DOWNSTREAM[task_name].train(
        make_settings(**changes),
        task=TASKS[task_name],
        datasets=[data["train"]],
        dev=data["dev"],
        seed=seed,
        out=out,
        device="cpu",
    )


@pytest.fixture(scope="module", params=list(TASKS))
def trained(
    request: pytest.FixtureRequest,
    scenes: dict[str, dict[str, Labelled]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path, dict[str, float]]:
    """One training of each task: its name, folder and metrics."""
    name: str = request.param
    out = tmp_path_factory.mktemp(name) / "real" / "0"
    return name, out, run(name, scenes[name], out, iterations=ITERATIONS[name], batch_size=4)


def pixels(annotation: SemanticMap | DepthMap) -> np.ndarray:
    return annotation.labels if isinstance(annotation, SemanticMap) else annotation.depth


def test_training_writes_a_folder_without_pickles_paths_or_left_overs(
    trained: tuple[str, Path, dict[str, float]],
) -> None:
    _, out, metrics = trained
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "curves.csv",
        "metrics.json",
        "model.safetensors",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["0"]
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert "/tmp" not in (out / "config.json").read_text()
    assert "://" not in (out / "config.json").read_text()


def test_it_learns(trained: tuple[str, Path, dict[str, float]]) -> None:
    name, out, metrics = trained
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert list(rows[0]) == ["iteration", "learning_rate", "loss"]
    assert [int(row["iteration"]) for row in rows] == list(range(1, ITERATIONS[name] + 1))
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] < max(rates[:3]) == pytest.approx(2e-3) and rates[-1] < 1e-4
    metric, low, high = LEARNT[name]
    assert low <= metrics[metric] <= high


def test_a_loaded_network_predicts_what_the_trained_one_did(
    trained: tuple[str, Path, dict[str, float]], scenes: dict[str, dict[str, Labelled]]
) -> None:
    name, out, metrics = trained
    task, dev = TASKS[name], scenes[name]["dev"]
    samples = standard_format(*task.kind).load(dev.folder, dev.subset)
    images = [samples[number].image for number in range(len(samples))]
    first, second = load(out, "cpu").predict(images, [None] * len(images)), load(out, "cpu").predict(images)
    evaluator = build_evaluator(*task.kind)
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        np.testing.assert_array_equal(pixels(one), pixels(other))
        evaluator.add(samples[number].target, one)
    again = evaluator.compute()
    assert {metric: again[metric] for metric in metrics} == metrics


def test_images_of_any_size_are_annotated_at_their_size(trained: tuple[str, Path, dict[str, float]]) -> None:
    _, out, _ = trained
    predictor, rng = DenseModel.load(out, "cpu"), np.random.default_rng(0)
    sizes = [(64, 64), (50, 90), (33, 20), (200, 120), (64, 64)]
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = predictor.predict(images)
    assert [pixels(annotation).shape for annotation in found] == sizes
    for annotation in found:
        if isinstance(annotation, SemanticMap):
            assert annotation.labels.dtype == np.uint8 and annotation.labels.max() < 3
            assert np.all((annotation.confidence >= 1 / 3 - 1e-6) & (annotation.confidence <= 1))
        else:
            assert annotation.depth.dtype == np.float32 and annotation.valid_mask.all()
            assert np.all((annotation.depth >= 0.1) & (annotation.depth <= 8.0))
    alone = predictor.predict(images[1:2])[0]
    assert np.mean(np.abs(pixels(alone).astype(float) - pixels(found[1])) < 1e-3) > 0.999
    assert predictor.predict([]) == []


def test_an_enlarged_image_gets_the_enlarged_annotation(
    trained: tuple[str, Path, dict[str, float]], scenes: dict[str, dict[str, Labelled]]
) -> None:
    """Nothing is shifted on the way through resizing and padding."""
    name, out, _ = trained
    dev = scenes[name]["dev"]
    image = standard_format(*TASKS[name].kind).load(dev.folder, dev.subset)[0].image[:40]
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    small, found = (pixels(annotation) for annotation in load(out, "cpu").predict([image, large]))
    enlarged = cv2.resize(small, (192, 120), interpolation=cv2.INTER_NEAREST)
    assert np.mean(np.abs(enlarged.astype(float) - found) < 0.5) > 0.93


def test_training_is_repeatable(scenes: dict[str, dict[str, Labelled]], tmp_path: Path) -> None:
    for name, seed in [("one", 0), ("two", 0), ("other", 1)]:
        run("semantic", scenes["semantic"], tmp_path / name, seed)
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other")}
    assert files["one"] == files["two"]
    assert files["one"] != files["other"]
    assert (tmp_path / "one/config.json").read_bytes() == (tmp_path / "two/config.json").read_bytes()


@pytest.mark.parametrize(("task_name", "model"), [("depth", "glpn_small"), ("semantic", "segformer_b0")])
def test_other_architectures_make_the_round_trip(
    task_name: str, model: str, scenes: dict[str, dict[str, Labelled]], tmp_path: Path
) -> None:
    metrics = run(task_name, scenes[task_name], tmp_path / "model", model=model)
    task, dev = TASKS[task_name], scenes[task_name]["dev"]
    samples, evaluator = standard_format(*task.kind).load(dev.folder, dev.subset), build_evaluator(*task.kind)
    for sample, found in zip(samples, load(tmp_path / "model", "cpu").predict([s.image for s in samples]), strict=True):
        evaluator.add(sample.target, found)
    again = evaluator.compute()
    assert metrics == {metric: again[metric] for metric in metrics}


def test_an_interrupted_training_leaves_what_was_there(scenes: dict[str, dict[str, Labelled]], tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "earlier").touch()
    with pytest.raises(DatasetDMError, match=r"Lower downstream\.learning_rate"):
        run("depth", scenes["depth"], out, learning_rate=1e30, iterations=6)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "earlier"]


def test_a_batch_of_one_is_refused(scenes: dict[str, dict[str, Labelled]], tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"downstream\.batch_size is 1"):
        run("depth", scenes["depth"], tmp_path / "model", batch_size=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_a_clear_error(scenes: dict[str, dict[str, Labelled]], tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"device in params\.yaml is 'cuda:1'"):
        DOWNSTREAM["depth"].train(
            make_settings(),
            task=TASKS["depth"],
            datasets=[scenes["depth"]["train"]],
            dev=scenes["depth"]["dev"],
            seed=0,
            out=tmp_path / "model",
            device="cuda:1",
        )


def test_a_folder_without_a_network_or_with_a_damaged_one_is_refused(
    trained: tuple[str, Path, dict[str, float]], tmp_path: Path
) -> None:
    with pytest.raises(DatasetDMError, match=r"config\.json is missing.*train_downstream"):
        load(tmp_path, "cpu")
    content = (trained[1] / "config.json").read_text()
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(DatasetDMError, match=r"model\.safetensors is missing.*train_downstream"):
        load(tmp_path, "cpu")
    (tmp_path / "model.safetensors").write_bytes((trained[1] / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(DatasetDMError, match=r"model\.safetensors does not fit its config\.json"):
        load(tmp_path, "cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DatasetDMError, match=r"config\.json does not describe a DenseModel"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("name", TASKS)
def test_checkpoints_hold_the_network(
    scenes: dict[str, dict[str, Labelled]], name: str, tmp_path: Path, check_checkpoints: Callable[..., None]
) -> None:
    parts = scenes[name]
    data = {"task": TASKS[name], "datasets": [parts["train"]], "dev": parts["dev"]}
    check_checkpoints(DOWNSTREAM[name].train, make_settings(checkpoint_every=1), tmp_path, **data)
