"""Training in bfloat16 where the device multiplies in it; weights, sums and optimiser stay in float32."""

import torch

from datasetdm import config
from datasetdm.downstream.registry import find_model


def trains_in_bfloat16(settings: config.Downstream, task: str, device: torch.device) -> bool:
    """Whether a training multiplies in bfloat16: the settings and the model allow it, and it pays on the device."""
    return settings.autocast and find_model(task, settings.model).autocast and pays_in_bfloat16(device)


def pays_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; where it has to emulate that, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
