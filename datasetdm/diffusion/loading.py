"""From the settings to a loaded backbone: one line per family of diffusion models."""

import pkgutil

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.weights import find_weights, how_to_get
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

#: Pipeline class in `model_index.json` -> what loads it, (folder, settings, device) -> Backbone. By name: only
#: the family that is used gets imported, and diffusers takes seconds.
FAMILIES = {
    "StableDiffusionPipeline": "datasetdm.diffusion.stable_diffusion:StableDiffusionBackbone.load",
}


def load_backbone(settings: config.Backbone, device: str = "auto") -> Backbone:
    """The backbone that the settings name, on a device (see `choose_device`).

    Raises:
        DatasetDMError: its weights are missing, its family is not in `FAMILIES`, or the device does not exist.
    """
    folder = find_weights(settings)
    index = read_json(folder / "model_index.json", remedy=how_to_get(settings.path))
    family = index.get("_class_name") if isinstance(index, dict) else None
    if family not in FAMILIES:
        raise DatasetDMError(f"{folder} holds a {family}; the families known are {', '.join(FAMILIES)}.")
    backbone: Backbone = pkgutil.resolve_name(FAMILIES[family])(folder, settings, device)
    return backbone
