"""Operations and memory are counted as arithmetic says, with and without gradients."""

import pytest
import torch
from torch import nn

from datasetdm.pipeline.planning.counting import counting

SIDE, CHANNELS, BATCH = 32, 8, 4
ACTIVATION = 4 * BATCH * CHANNELS * SIDE * SIDE  # bytes
PRODUCTS = 2 * BATCH * CHANNELS * CHANNELS * 9 * SIDE * SIDE


def network(depth: int) -> nn.Module:
    return nn.Sequential(*[nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(depth)])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_two_activations_live_at_a_time(mode) -> None:
    model, images = network(10), torch.randn(BATCH, CHANNELS, SIDE, SIDE)
    with mode(), counting() as count:
        model(images)
    weights = 10 * 4 * CHANNELS * CHANNELS * 9
    assert count.flops == 10 * PRODUCTS and count.launches == 10
    assert count.peak == weights + 3 * ACTIVATION  # the images, which are kept, the input and output of a layer


def test_training_keeps_every_activation() -> None:
    model, images = network(10), torch.randn(BATCH, CHANNELS, SIDE, SIDE)
    with counting() as count:
        model(images).sum().backward()
    assert count.flops == 29 * PRODUCTS  # forward, and back to weights and inputs, except to the images
    assert count.peak > 10 * ACTIVATION


def test_views_send_nothing_and_take_nothing() -> None:
    values = torch.randn(8, 8)
    with counting() as count:
        values.T.contiguous().view(4, 16)[1:].unsqueeze(0)
    assert count.peak == 2 * values.nbytes and count.launches == 1 and count.flops == 0  # of the copy
