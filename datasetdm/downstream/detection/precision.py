"""How mmengine trains a detector in bfloat16.

A GPU always trains detectors in float32: there mmdet's focal loss is an operator of mmcv without bfloat16.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn

from datasetdm import config
from datasetdm.downstream.precision import trains_in_bfloat16


def optim_wrapper_type(settings: config.Downstream, device: torch.device) -> str:
    """mmengine's name of the optimiser wrapper, which decides the precision of products."""
    pays = device.type == "cpu" and trains_in_bfloat16(settings, "instance", device)
    return "Bfloat16OptimWrapper" if pays else "OptimWrapper"


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """mmengine's optimiser wrapper with autocast to bfloat16; its own AmpOptimWrapper needs a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass under autocast."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
