"""Training in bfloat16 where the CPU multiplies in it; weights, sums and optimiser stay in float32.

A GPU always trains in float32: there mmdet's focal loss is an operator of mmcv, which does not support bfloat16.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn

from datasetdm import config
from datasetdm.downstream.registry import find_model


def optim_wrapper_type(settings: config.Downstream, device: torch.device) -> str:
    """mmengine's name of the optimiser wrapper, which decides the precision of products."""
    pays = settings.autocast and find_model("instance", settings.model).autocast and pays_in_bfloat16(device)
    return "Bfloat16OptimWrapper" if pays else "OptimWrapper"


def pays_in_bfloat16(device: torch.device) -> bool:
    """Whether the device is a CPU that multiplies bfloat16 itself; where it has to emulate that, float32 is faster."""
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """mmengine's optimiser wrapper with autocast to bfloat16; its own AmpOptimWrapper needs a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass under autocast."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
