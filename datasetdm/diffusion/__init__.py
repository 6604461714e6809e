"""The frozen text-to-image diffusion model, behind one contract."""

from collections.abc import Sequence
from pathlib import Path

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

__all__ = ["Backbone", "draws_miniworld", "image_size_step", "load_backbone", "words_unknown_to"]

#: In the `model_index.json` of a model that was trained on the embedded world alone; diffusers passes it over.
WORLD_KEY = "_world"


def words_unknown_to(settings: config.Backbone, words: Sequence[str]) -> list[str]:
    """The words (or those of several words, "traffic light") that the model's tokenizer has no token for, sorted.

    Models on the hub, whose tokenizers can spell any word, are not fetched for it.
    """
    folder = Path(settings.path) / "tokenizer"
    if not folder.is_dir():
        return []
    from transformers import AutoTokenizer

    from datasetdm.diffusion.words import unknown_words

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the readers of tokenizers have no common base for damaged files
        raise DatasetDMError(f"The tokenizer in {folder} cannot be loaded ({' '.join(str(error).split())}).") from None
    return unknown_words(tokenizer, words)


def draws_miniworld(settings: config.Backbone) -> bool:
    """Whether the model in a local folder says that it draws the embedded world and nothing else."""
    file = Path(settings.path) / "model_index.json"
    if not file.is_file():
        return False
    index = read_json(file, remedy="Fetch the model again.")
    return isinstance(index, dict) and index.get(WORLD_KEY) == "miniworld"


def load_backbone(settings: config.Backbone) -> Backbone:
    """The backbone that the settings name.

    Raises:
        DatasetDMError: its weights are not there, or it is of a family that is not known.
    """
    # diffusers takes seconds to import; whoever needs the contract alone does not wait for it.
    from datasetdm.diffusion.stable_diffusion import StableDiffusionBackbone, find_weights, how_to_get

    families = {"StableDiffusionPipeline": StableDiffusionBackbone}
    folder = find_weights(settings)
    index = read_json(folder / "model_index.json", remedy=how_to_get(settings.path))
    family = index.get("_class_name") if isinstance(index, dict) else None
    if family not in families:
        raise DatasetDMError(f"{folder} holds a {family}; the families known are {', '.join(families)}.")
    return families[family].load(folder, settings)


def image_size_step(settings: config.Backbone) -> int | None:
    """Pixels that `image_size` has to be a multiple of, from the model's folder; None where that is not here yet."""
    step = 1
    for part in ("vae", "unet"):
        file = Path(settings.path) / part / "config.json"
        if not file.is_file():
            return None
        description = read_json(file, remedy="Fetch the model again.")
        widths = description.get("block_out_channels") if isinstance(description, dict) else None
        if not widths:
            return None
        step *= 2 ** (len(widths) - 1)  # each block but the first halves the resolution
    return step
