"""Polygons cover the same pixels as the mask, drawn by COCO's tool."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from datasetdm.datasets.exporting.polygons import joined, polygons_of


def drawn(polygons: list[np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    lists = [polygon.ravel().astype(float).tolist() for polygon in polygons]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(lists, *size))).astype(bool)


@pytest.mark.parametrize("smooth", [0, 2])
def test_random_masks_come_back_pixel_by_pixel(smooth: int) -> None:
    rng = np.random.default_rng(smooth)
    for _ in range(50):
        size = tuple(map(int, rng.integers(1, 25, 2)))
        noise = rng.random(size).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), smooth) if smooth else noise
        mask = noise >= np.quantile(noise, rng.random())
        polygons = polygons_of(mask)
        assert (drawn(polygons, size) == mask).all()
        assert (drawn([joined(polygons)], size) == mask).all()


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    mask[2:5, 3:11] = True
    (polygon,) = polygons_of(mask)
    assert sorted(map(tuple, polygon.tolist())) == [(3, 2), (3, 5), (11, 2), (11, 5)]


def test_nothing_has_no_polygon() -> None:
    assert polygons_of(np.zeros((4, 5), dtype=bool)) == []
