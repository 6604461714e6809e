"""docs/extending.md, "A task": four files. Three lie next to this one; the fourth is `datasetdm/task_parts.py`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.inference import DecoderModel
from datasetdm.decoder.trainer import train_decoder
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.architectures import dense
from datasetdm.downstream.families import Family
from datasetdm.evaluation.baselines import fit_baseline
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.filters import build_filter
from datasetdm.reports.overlays import overlay
from datasetdm.task_parts import METRICS, TASKS, Metric, TaskParts
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from tests.decoder.conftest import ConvBackbone
from tests.extending.normal_map import NormalMap

SIDE = 64
CATEGORIES = (Category(id=1, name="ball"),)
PARTS = TaskParts(
    settings="tests.extending.surface_normals:NormalsAnnotation",
    task="tests.extending.surface_normals:NormalsTask",
    format="tests.extending.surface_normals:NormalsFormat",
    filter="tests.extending.surface_normals:NormalsFilter",
    evaluator="tests.extending.surface_normals:AngularError",
    baseline="tests.extending.surface_normals:mean_normal",
    downstream="datasetdm.downstream.dense:DenseModel",
    readout="tests.extending.normal_readout:NormalReadout",
    metrics={
        "mean_angle": Metric("mean angle (degrees)", percent=False, higher_is_better=False),
        "within_11_25": Metric("within 11.25 degrees"),
    },
)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task by its name in the settings."""
    monkeypatch.setitem(TASKS, "normals", PARTS)
    # These follow from `TASKS` when they are imported, which was before.
    monkeypatch.setitem(DOWNSTREAM, "normals", Family("normals", PARTS.downstream))
    monkeypatch.setitem(dense.MODELS, "upernet_r18", replace(dense.MODELS["upernet_r18"], tasks=("normals",)))
    for name, metric in PARTS.metrics.items():
        monkeypatch.setitem(METRICS, name, metric)
    return build_task(config.task_settings({"name": "normals"}), CATEGORIES)


def ball(seed: int) -> Sample:
    """A ball before a wall, coloured by its normals; at its rim the normals are unknown."""
    rng = np.random.default_rng(seed)
    (row, column), radius = rng.integers(24, 40, 2), rng.integers(14, 20)
    down, across = (np.mgrid[:SIDE, :SIDE] - np.array([row, column])[:, None, None]) / radius
    distance = across**2 + down**2
    normals = np.stack([across, down, np.sqrt(np.clip(1 - distance, 0, None))], axis=2)
    normals[distance >= 1] = (0, 0, 1)
    normals[abs(distance - 1) < 0.03] = 0
    target = NormalMap(normals=normals.astype(np.float32))
    return Sample(name=f"{seed}.png", image=target.picture(), caption="a photo of a ball", target=target)


def test_a_mirrored_image_has_mirrored_normals() -> None:
    target = ball(0).target
    mirrored = target.warp(np.array([[-1.0, 0, SIDE - 1], [0, 1, 0]]), (SIDE, SIDE))
    np.testing.assert_allclose(mirrored.normals, target.normals[:, ::-1] * (-1, 1, 1), atol=1e-6)
    turned = target.warp(np.array([[0, -2.0, 2 * SIDE - 1], [2, 0, 0]]), (2 * SIDE, 2 * SIDE))
    row, column = 20, 30
    x, y, z = target.normals[row, column]
    np.testing.assert_allclose(turned.normals[2 * column, 2 * SIDE - 1 - 2 * row], (-y, x, z), atol=1e-6)


def test_files_filter_metrics_baseline_and_picture(task: Task, tmp_path: Path) -> None:
    samples = [ball(0), ball(1)]
    layout = standard_format(*task.kind)
    layout.save(tmp_path, "train", samples)
    assert layout.check(tmp_path, "train") == {"images": 2}
    evaluator = build_evaluator(*task.kind)
    for sample, read in zip(samples, layout.load(tmp_path, "train"), strict=True):
        np.testing.assert_array_equal(read.target.valid_mask, sample.target.valid_mask)
        evaluator.add(sample.target, read.target)
    assert evaluator.compute()["mean_angle"] < 0.5 and evaluator.compute()["within_11_25"] == 1

    baseline = fit_baseline(task.settings, [sample.target for sample in samples])
    assert baseline is not None
    flat = baseline((SIDE, SIDE), None)
    accept = build_filter(*task.kind).accept
    thresholds = config.Filter()
    assert accept(Prediction(target=samples[0].target, score=1.0), thresholds).rejected is None
    assert accept(Prediction(target=flat, score=1.0), thresholds).rejected == "all surfaces face the same way"
    picture = overlay(samples[0].target, samples[0].image, CATEGORIES)
    assert picture.shape[1] == 2 * picture.shape[0]


def test_the_p_decoder_learns_it(task: Task, tmp_path: Path) -> None:
    settings = config.Decoder(
        hidden_dim=16,
        num_heads=4,
        views_per_image=4,
        iterations=60,
        batch_size=2,
        learning_rate=3e-3,
        evaluate_every=60,
    )
    backbone = ConvBackbone()
    metrics = train_decoder(backbone, task, [ball(0), ball(1)], [ball(2)], settings, seed=0, out=tmp_path)
    losses = pd.read_csv(tmp_path / "curves.csv")["loss"].dropna().tolist()
    assert losses[-1] < 0.7 * losses[0]
    assert 0 < metrics["mean_angle"] < 45
    (found,) = DecoderModel.load(tmp_path, backbone).predict([np.zeros((40, 60, 3), np.uint8)])
    assert isinstance(found, NormalMap)
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=2), np.ones((40, 60)), rtol=1e-4)


def test_an_ordinary_network_learns_it(task: Task, tmp_path: Path) -> None:
    standard_format(*task.kind).save(tmp_path, "train", [ball(0), ball(1)])
    labelled = Labelled(folder=tmp_path, subset="train")
    metrics = DOWNSTREAM["normals"].train(
        config.Downstream(model="upernet_r18", image_size=64, iterations=2, batch_size=2, learning_rate=1e-3),
        task=task,
        datasets=[labelled],
        dev=labelled,
        seed=0,
        out=tmp_path / "trained",
        device="cpu",
    )
    assert set(metrics) == set(PARTS.metrics)
    (found,) = DOWNSTREAM["normals"].load(tmp_path / "trained", "cpu").predict([np.zeros((40, 60, 3), np.uint8)])
    assert isinstance(found, NormalMap) and found.size == (40, 60)
