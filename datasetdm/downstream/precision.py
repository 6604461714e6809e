"""Trainings in bfloat16 where the hardware multiplies in it; weights, sums and optimiser stay in float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; where it has to emulate that, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """mmengine's optimiser wrapper with autocast to bfloat16; its own AmpOptimWrapper wants a GPU.

    Args:
        device_type: where the model runs, `cpu` or `cuda`.
        arguments: as for `OptimWrapper`.
    """

    def __init__(self, device_type: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.device_type = device_type

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass under autocast."""
        with super().optim_context(model), torch.autocast(self.device_type, torch.bfloat16):
            yield
