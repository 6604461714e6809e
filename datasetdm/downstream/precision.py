"""Trainings in bfloat16 where the CPU multiplies in it; weights, sums and optimiser stay in float32.

Not on a GPU: there mmdet's focal loss is an operator of mmcv's, which knows no bfloat16.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


def pays_in_bfloat16(device: torch.device) -> bool:
    """Whether the device is a CPU that multiplies bfloat16 itself; where it has to emulate that, float32 is faster."""
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """mmengine's optimiser wrapper with autocast to bfloat16; its own AmpOptimWrapper wants a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass under autocast."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
