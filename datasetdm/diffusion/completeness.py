"""Is a model's folder complete? Found out from names and headers, before anything is loaded."""

from pathlib import Path

from datasetdm import config
from datasetdm.diffusion.loading import family_of, known_family
from datasetdm.diffusion.pretrained import check_text_encoders
from datasetdm.diffusion.weights import how_to_get
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json
from datasetdm.utils.safetensors_files import is_whole

PARTS = ("unet", "transformer", "vae", "scheduler")  # as far as `model_index.json` names them


def check_complete_model(folder: Path, settings: config.Backbone) -> None:
    """Refuse a folder that cannot be loaded: another family, parts or files that are missing, weights that are cut off.

    Raises:
        DatasetDMError: all that is wrong with the files, or an unknown family, or text encoders that are missing.
    """
    known_family(folder, settings)
    index = read_json(folder / "model_index.json", remedy=how_to_get(settings.path))
    check_text_encoders(folder, family_of(index).text_encoders, settings)
    parts = [name for name in PARTS if (index.get(name) or [None])[0]]
    problems = [f"{folder / name} is missing" for name in parts if not (folder / name).is_dir()]
    for shards in sorted(folder.glob("*/*.safetensors.index.json")):
        named = set(read_json(shards, remedy=how_to_get(settings.path)).get("weight_map", {}).values())
        problems += [
            f"{shards.parent / name} is missing" for name in sorted(named) if not (shards.parent / name).exists()
        ]
    problems += [f"{file} is cut off" for file in sorted(folder.glob("*/*.safetensors")) if not is_whole(file)]
    if problems:
        raise DatasetDMError(
            f"The diffusion model in {folder} is not complete: {'; '.join(problems)}. {how_to_get(settings.path)}"
        )
