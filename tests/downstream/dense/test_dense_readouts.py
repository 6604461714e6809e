"""How the scores of dense networks are learnt and read."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.downstream.dense.readouts import DepthReadout, SemanticReadout


def test_cross_entropy_looks_at_the_hardest_of_the_labelled_pixels() -> None:
    readout, scores = SemanticReadout(3), torch.randn(2, 3, 8, 8, requires_grad=True)
    targets = torch.randint(0, 3, (2, 8, 8))
    targets[:, :5] = IGNORE
    losses = nn.functional.cross_entropy(scores[:, :, 5:], targets[:, 5:], reduction="none")
    hardest = losses.flatten().sort(descending=True).values[:10]  # a fifth of 48, rounded up
    torch.testing.assert_close(readout.loss(scores, targets), hardest.mean())
    nothing = readout.loss(scores, torch.full_like(targets, IGNORE))
    nothing.backward()
    assert nothing == 0 and torch.equal(scores.grad, torch.zeros_like(scores))


def test_a_perfect_depth_has_no_loss_and_reads_back() -> None:
    readout = DepthReadout(min_depth=0.1, max_depth=10.0, typical_depth=5.0)
    rng = np.random.default_rng(0)
    truth = DepthMap(depth=rng.uniform(0.2, 9.5, (8, 9)).astype(np.float32), valid_mask=np.ones((8, 9), dtype=bool))
    target = readout.target(truth, zoom=1.0)
    scores = (target / 10).logit()[None]
    assert readout.loss(scores[None], target[None]) < 1e-9
    np.testing.assert_allclose(readout.annotation(scores).depth, truth.depth, rtol=1e-4)
    # A wrong scale costs half of its square: the other half is forgiven.
    twice = (target / 10 / 2).logit()[None, None]
    assert readout.loss(twice, target[None]).item() == pytest.approx(0.5 * np.log(2) ** 2, rel=1e-4)


def test_depth_out_of_range_or_unknown_is_not_learnt_and_zooming_in_brings_nearer() -> None:
    depth = np.array([[0.05, 0.3, 9.0, 15.0, 4.0]], dtype=np.float32)
    truth = DepthMap(depth=depth, valid_mask=np.array([[True, True, True, True, False]]))
    readout = DepthReadout(min_depth=0.1, max_depth=10.0, typical_depth=5.0)
    np.testing.assert_allclose(readout.target(truth, 1.0), [[0, 0.3, 9.0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(readout.target(truth, 2.0), [[0, 0.15, 4.5, 7.5, 0]], rtol=1e-6)
    assert readout.target(truth, 2.0).dtype == torch.float32
    scores = torch.tensor([[[-50.0, 0.0, 50.0]]])
    np.testing.assert_allclose(readout.annotation(scores).depth, [[0.1, 5.0, 10.0]], rtol=1e-6)


def test_a_semantic_map_is_the_likeliest_category_and_its_probability() -> None:
    scores = torch.tensor([[[0.0, 1.0]], [[2.0, 1.0]], [[0.0, 3.0]]])
    found = SemanticReadout(3).annotation(scores)
    assert found.labels.dtype == np.uint8 and found.labels.tolist() == [[1, 2]]
    np.testing.assert_allclose(found.confidence, scores.softmax(0).amax(0), rtol=1e-6)
    target = SemanticReadout(3).target(SemanticMap.of(np.array([[0, 2, IGNORE]])), zoom=1.3)
    assert target.dtype == torch.int64 and target.tolist() == [[0, 2, IGNORE]]


@pytest.mark.parametrize("size", [(33, 47), (8, 120), (5, 4)])
def test_an_enlarged_map_is_that_of_the_enlarged_scores(size: tuple[int, int]) -> None:
    scores = 4 * torch.randn(7, 12, 16, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
    found = SemanticReadout(7).annotation(scores, size)
    confidence, labels = large.softmax(dim=0).max(dim=0)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.confidence, confidence, rtol=1e-5)


def test_a_large_photograph_takes_a_few_bytes_per_pixel_however_many_categories() -> None:
    program = (
        "import resource, torch; from datasetdm.downstream.dense.readouts import SemanticReadout\n"
        "scores = torch.randn(150, 48, 64)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "SemanticReadout(150).annotation(scores, (96, 128)); before = peak()\n"
        "SemanticReadout(150).annotation(scores, (1500, 2000)); print((peak() - before) / 3e6)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40  # 600 for a float per category, and again for their softmax
