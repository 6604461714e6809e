"""Heatmaps of keypoints: drawn, read and learnt."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks, heatmap_loss, to_cells
from datasetdm.transforms.geometry import resize_matrix

SIZE = (48, 64)


@given(st.floats(2, 29, width=32), st.floats(2, 21, width=32), st.floats(1, 2.5))
@settings(max_examples=30, deadline=None)
def test_a_peak_is_found_where_the_gaussian_is(x: float, y: float, sigma: float) -> None:
    heatmaps = draw_gaussians(np.array([[x, y]]), (24, 32), sigma)
    points, heights = find_peaks(heatmaps)
    np.testing.assert_allclose(points, [[x, y]], atol=0.01)
    assert heights[0] == pytest.approx(heatmaps.max())


def test_peaks_stay_in_their_region_and_at_the_border() -> None:
    heatmaps = draw_gaussians(np.array([[[3.0, 4.0], [20.0, 10.0]], [[0.0, 0.0], [31.0, 23.0]]]), (24, 32), 1.5)
    heatmaps = heatmaps.max(axis=1)
    right = np.zeros((24, 32), dtype=bool)
    right[:, 16:] = True
    np.testing.assert_allclose(find_peaks(heatmaps, right)[0], [[20, 10], [31, 23]], atol=0.01)
    np.testing.assert_allclose(find_peaks(heatmaps, ~right)[0], [[3, 4], [0, 0]], atol=0.01)
    points, heights = find_peaks(np.zeros((1, 4, 5), dtype=np.float32))
    assert points.tolist() == [[0, 0]] and heights.tolist() == [0]


@given(st.floats(-0.5, 63.5), st.floats(-0.5, 47.5))
@settings(max_examples=20, deadline=None)
def test_points_move_to_a_grid_as_in_a_resize_and_back(x: float, y: float) -> None:
    point = np.array([x, y])
    cells = to_cells(point, SIZE, (12, 32))
    matrix = resize_matrix(SIZE, (12, 32))
    np.testing.assert_allclose(cells, matrix[:, :2] @ point + matrix[:, 2])
    np.testing.assert_allclose(to_cells(cells, (12, 32), SIZE), point, atol=1e-9)


def test_the_heatmap_loss_has_its_scale() -> None:
    points = np.random.default_rng(0).uniform(8, 24, (2, 17, 2))
    target = torch.from_numpy(draw_gaussians(points, (32, 32), 1.5))
    ones = torch.ones_like(target)
    assert heatmap_loss(torch.zeros_like(target), target, ones, 1.5) == pytest.approx(0.5, abs=0.02)
    assert heatmap_loss(target, target, ones, 1.5) == 0
    assert heatmap_loss(target + 1, target, torch.zeros_like(target), 1.5) == 0
    nobody = heatmap_loss(torch.full_like(target, 0.01), torch.zeros_like(target), ones, 1.5)
    assert 0 < nobody < 1
