"""The frozen text-to-image diffusion model, behind one contract."""

from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.inspection import (
    draws_miniworld,
    has_zero_terminal_snr,
    image_size_step,
    matches_flow,
    text_readers,
    words_unknown_to,
)
from datasetdm.diffusion.loading import load_backbone
from datasetdm.diffusion.weights import find_weights

__all__ = [
    "Backbone",
    "draws_miniworld",
    "find_weights",
    "has_zero_terminal_snr",
    "image_size_step",
    "load_backbone",
    "matches_flow",
    "text_readers",
    "words_unknown_to",
]
