"""The loader of registered P-Decoders, named in the registry and called when one is loaded back."""

from pathlib import Path

from datasetdm.config import load_params
from datasetdm.diffusion import load_backbone
from datasetdm.reading import DecoderModel


def load_decoder_model(folder: Path) -> DecoderModel:
    """A registered P-Decoder on the diffusion model of `params.yaml`, which must be the one it was trained on."""
    return DecoderModel.load(folder, load_backbone(load_params().backbone))
