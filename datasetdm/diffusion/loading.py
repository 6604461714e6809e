"""From the settings to a loaded backbone: one line per family of diffusion models."""

import pkgutil
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.weights import find_weights, how_to_get
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

#: Pipeline class in `model_index.json` -> what loads it, (folder, settings, device) -> Backbone. By name: only
#: the family that is used gets imported, and diffusers takes seconds.
FAMILIES = {
    "StableDiffusionPipeline": "datasetdm.diffusion.families.stable_diffusion:StableDiffusionBackbone.load",
    "StableDiffusionXLPipeline": "datasetdm.diffusion.families.stable_diffusion_xl:StableDiffusionXLBackbone.load",
    "StableDiffusion3Pipeline": "datasetdm.diffusion.families.stable_diffusion_3:StableDiffusion3Backbone.load",
    "FluxPipeline": "datasetdm.diffusion.families.flux:FluxBackbone.load",
    "PixArtSigmaPipeline": "datasetdm.diffusion.families.pixart_sigma:PixArtSigmaBackbone.load",
}


def family_of(index: Any) -> Any:
    """The class that opens a pipeline, by the content of its `model_index.json`; None if no family does."""
    name = str(index.get("_class_name") if isinstance(index, dict) else None)
    return pkgutil.resolve_name(FAMILIES[name].removesuffix(".load")) if name in FAMILIES else None


def load_backbone(settings: config.Backbone, device: str = "auto") -> Backbone:
    """The backbone that the settings name, on a device (see `choose_device`).

    Raises:
        DatasetDMError: its weights are missing, its family is not in `FAMILIES`, or the device does not exist.
    """
    folder = find_weights(settings)
    backbone: Backbone = pkgutil.resolve_name(FAMILIES[known_family(folder, settings)])(folder, settings, device)
    return backbone


def known_family(folder: Path, settings: config.Backbone) -> str:
    """The key of `FAMILIES` that a model's folder names.

    Raises:
        DatasetDMError: it is none of them, or `model_index.json` is damaged.
    """
    index = read_json(folder / "model_index.json", remedy=how_to_get(settings.path))
    family = str(index.get("_class_name") if isinstance(index, dict) else None)
    if family not in FAMILIES:
        known = ", ".join(name.removesuffix("Pipeline") for name in FAMILIES)
        raise DatasetDMError(
            f"{folder} holds a {family}, which is none of the families that this project can use: {known}. To add it, "
            "write a file in datasetdm/diffusion/families/ and a line in FAMILIES in datasetdm/diffusion/loading.py "
            '(docs/extending.md, "A family of diffusion models").'
        )
    return family
