"""Views for training: picture and annotation stay together, and a view depends on nothing but seed and number."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import Labelled
from datasetdm.downstream.dense.data import TrainingViews, augmented_view, fitting_size, padded
from datasetdm.downstream.dense.readouts import DepthReadout, SemanticReadout
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.semantic import SemanticTask
from datasetdm.transforms.geometry import resized
from datasetdm.utils.normalisation import MEAN

CATEGORIES = tuple(Category(id=10 + number, name=name) for number, name in enumerate(("floor", "box", "ball")))


@settings(max_examples=25, deadline=None)
@given(st.integers(110, 200), st.integers(110, 200), st.integers(0, 10_000))
def test_picture_and_annotation_of_a_view_show_the_same_place(height: int, width: int, seed: int) -> None:
    waves = 5 + 2 * np.sin(np.arange(width) / 9) + 2 * np.cos(np.arange(height)[:, None] / 11)
    depth = DepthMap(depth=waves.astype(np.float32), valid_mask=np.ones(waves.shape, dtype=bool))
    grey = np.repeat((20 * waves).round().astype(np.uint8)[..., None], 3, axis=2)
    sample = Sample(name="a.png", image=grey, caption="", target=depth)
    image, annotation, zoom = augmented_view(DepthTask(CATEGORIES), sample, 64, (0.5, 2.0), np.random.default_rng(seed))
    assert image.shape == (64, 64, 3) and annotation.depth.shape == (64, 64)
    assert 0.5 <= zoom <= 2.0
    # To first order, brightness = a + b (depth + its gradient x shift): the fit finds a, b and the shift.
    inside = cv2.erode(annotation.valid_mask.astype(np.uint8), np.ones((5, 5)), borderValue=0) > 0
    smooth = cv2.GaussianBlur(annotation.depth, (5, 5), 0)  # it is sampled at nearest pixels
    terms = np.stack([np.ones_like(smooth), smooth, *np.gradient(smooth)], axis=-1)[inside]
    _, slope, *moved = np.linalg.lstsq(terms, image[..., 0][inside].astype(float), rcond=None)[0]
    assert slope > 5
    assert np.abs(np.array(moved) / slope).max() < 0.4


def test_what_lies_outside_the_image_is_not_learnt() -> None:
    task = SemanticTask(CATEGORIES)
    sample = Sample(
        name="a.png",
        image=np.full((40, 40, 3), 255, dtype=np.uint8),
        caption="",
        target=SemanticMap.of(np.ones((40, 40))),
    )
    image, annotation, _ = augmented_view(task, sample, 64, (0.5, 0.5), np.random.default_rng(0))
    inside = annotation.labels != IGNORE
    assert inside.sum() == 32 * 32
    assert image[inside].mean() - image[~inside].mean() > 60
    wide = Sample(name="b.png", image=sample.image[:10], caption="", target=SemanticMap.of(np.ones((10, 40))))
    _, annotation, _ = augmented_view(task, wide, 64, (1.0, 1.0), np.random.default_rng(0))
    assert (annotation.labels != IGNORE).sum() == 16 * 64


def test_the_colour_outside_becomes_about_zero_for_the_network(tmp_path: Path) -> None:
    task = DepthTask(CATEGORIES)
    depth = DepthMap(depth=np.full((32, 32), 2.0, np.float32), valid_mask=np.ones((32, 32), dtype=bool))
    image = np.broadcast_to(np.round(MEAN).astype(np.uint8), (32, 32, 3))
    standard_format(*task.kind).save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=depth)])
    views = make_views(task, DepthReadout(0.1, 10.0, 5.0), [Labelled(folder=tmp_path, subset="train")])
    for view in views:
        assert view["images"].shape == (3, 64, 64) and view["targets"].shape == (64, 64)
        assert view["images"].abs().mean() < 0.5
        known = view["targets"][view["targets"] > 0]
        assert len(known) and known.min() == known.max()
        assert 1.0 <= known[0] <= 4.0


def make_views(
    task: SemanticTask | DepthTask, readout: SemanticReadout | DepthReadout, sources: list[Labelled], seed: int = 0
) -> TrainingViews:
    return TrainingViews(sources, task=task, readout=readout, image_size=60, num_views=40, seed=seed)


def write_labelled(folder: Path, num_images: int, label: int) -> Labelled:
    rng = np.random.default_rng(label)
    samples = [
        Sample(
            name=f"{number}.png",
            image=rng.integers(0, 256, (30, 40, 3), dtype=np.uint8),
            caption="",
            target=SemanticMap.of(np.full((30, 40), label)),
        )
        for number in range(num_images)
    ]
    standard_format(*SemanticTask(CATEGORIES).kind).save(folder, "train", samples)
    return Labelled(folder=folder, subset="train", weight=1.0 + 2.0 * label)


def test_views_mix_the_sources_by_weight_and_are_repeatable(tmp_path: Path) -> None:
    task, readout = SemanticTask(CATEGORIES), SemanticReadout(3)
    sources = [write_labelled(tmp_path / str(label), 3 + label, label) for label in (0, 1)]
    empty = write_labelled(tmp_path / "empty", 0, 2)
    views = make_views(task, readout, [sources[0], empty, sources[1]])
    assert len(views) == 40
    shown = [int(view["targets"].min()) for view in views]
    assert set(shown) == {0, 1}
    assert 0.6 < np.mean(shown) < 0.9
    again, other = make_views(task, readout, [*sources]), make_views(task, readout, [*sources], seed=1)
    assert all(torch.equal(views[number]["images"], again[number]["images"]) for number in (7, 3, 39))
    assert not all(torch.equal(views[number]["images"], other[number]["images"]) for number in (7, 3, 39))
    first_of_a_source = [number for number in range(40) if shown[number] == 0][:3]
    assert len({views.order[number] for number in first_of_a_source}) == 3


def test_no_image_to_train_on_is_a_clear_error(tmp_path: Path) -> None:
    empty = write_labelled(tmp_path, 0, 2)
    with pytest.raises(DatasetDMError, match=r"no image to train on: .*train\.json holds none"):
        make_views(SemanticTask(CATEGORIES), SemanticReadout(3), [empty])


def test_other_categories_are_refused(tmp_path: Path) -> None:
    source = write_labelled(tmp_path, 2, 1)
    with pytest.raises(DatasetDMError, match="has other categories than this benchmark"):
        make_views(SemanticTask(CATEGORIES[:2]), SemanticReadout(2), [source])


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 600))
def test_an_image_fits_its_longer_side(height: int, width: int, side: int) -> None:
    size = fitting_size((height, width), side)
    assert max(size) == side and min(size) >= 1
    assert abs(size[0] - side * height / max(height, width)) <= 0.5 or size[0] == 1
    assert padded(side) % 32 == 0 and 0 <= padded(side) - side < 32


def test_shrinking_averages() -> None:
    stripes = np.tile(np.array([0, 0, 0, 200], dtype=np.uint8), (40, 10))[..., None].repeat(3, axis=2)
    assert np.all(np.abs(resized(stripes, (10, 10)).astype(int) - 50) <= 1)
    assert resized(stripes, (40, 40)) is stripes
