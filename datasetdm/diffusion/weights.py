"""The folder with a model's weights: where it is, how to get it, and its digest."""

import hashlib
import json
import re
from pathlib import Path

from datasetdm import config
from datasetdm.diffusion.adapters import lora_fingerprint
from datasetdm.diffusion.ip_adapter import ip_adapter_fingerprint
from datasetdm.errors import DatasetDMError
from datasetdm.utils.digests import file_digest
from datasetdm.utils.hub import hub_answers

FINGERPRINTED = (".json", ".model", ".safetensors", ".txt")


def find_weights(settings: config.Backbone) -> Path:
    """The folder with the model: `settings.path` itself, or the local copy of a hub model at the pinned revision.

    Raises:
        DatasetDMError: the folder is missing or is not a diffusers pipeline, or the hub cannot be reached.
    """
    folder = Path(settings.path)
    if (folder / "model_index.json").is_file():
        return folder
    if folder.exists():
        raise DatasetDMError(
            f"{folder} has no model_index.json, so it is no diffusers pipeline. {how_to_get(settings.path)}"
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", settings.path) or Path(folder.parts[0]).is_dir():
        raise DatasetDMError(f"The backbone's folder {folder} is missing. {how_to_get(settings.path)}")
    return _download(settings)


def how_to_get(path: str) -> str:
    """What to do if the model that `backbone.path` names is missing or damaged."""
    return (
        "Get a model in the diffusers format with safetensors, for example with "
        "`hf download CompVis/stable-diffusion-v1-4 --include '*.json' '*.txt' '*/model.safetensors' "
        "'*/diffusion_pytorch_model.safetensors' --local-dir data/backbones/stable-diffusion-v1-4`, "
        f"and name its folder as backbone.path in params.yaml (now: {path}). "
        "The embedded default, data/backbones/miniworld, is part of the repository."
    )


def fingerprint_of(folder: Path, settings: str) -> str:
    """Short SHA-256 of all configuration and weight files below `folder` and of a text.

    `utils.digests.digest` would count other files too. Every trained decoder names this value, so it must not change.
    """
    state = hashlib.sha256(settings.encode())
    for path in sorted(folder.rglob("*")):
        if path.suffix in FINGERPRINTED and path.is_file():
            state.update(str(path.relative_to(folder)).encode())
            state.update(file_digest(path))
    return state.hexdigest()[:16]


def model_fingerprint(folder: Path, settings: config.Backbone) -> str:
    """See `Backbone.fingerprint`; what is not set has no part in it, so that old fingerprints hold."""
    chosen = {"layers": settings.layers, "attention": settings.attention_layers}
    own = "".join(f" {name} {json.dumps(value)}" for name, value in chosen.items() if value is not None)
    adapters = lora_fingerprint(settings.loras) + ip_adapter_fingerprint(settings.ip_adapter)
    return fingerprint_of(folder, f"{settings.revision} {settings.image_size} {settings.dtype}{own}{adapters}")


def _download(settings: config.Backbone) -> Path:
    from diffusers import DiffusionPipeline  # takes seconds; a local folder does not need it

    offline = not hub_answers()
    try:
        folder = DiffusionPipeline.download(
            settings.path,
            revision=settings.revision,
            local_files_only=offline,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
        )
    except Exception as error:  # the hub's client raises errors of a dozen unrelated types
        if "GatedRepoError" in _kinds(error):
            raise DatasetDMError(
                f"{settings.path} is gated: its owner gives it to those who accept a licence. Accept it on the model's "
                "page on the hub, create a token for reading, log in with `hf auth login`, and run this again. On a "
                f"machine without the internet, name the folder of a copy as backbone.path (now: {settings.path})."
            ) from error
        if "RepositoryNotFoundError" in _kinds(error):
            raise DatasetDMError(
                f"The hub has no model {settings.path} that you may see: check the name in backbone.path in "
                "params.yaml. If the model is private, log in with `hf auth login`."
            ) from error
        reason = "it is not on this machine, and the hub cannot be reached" if offline else type(error).__name__
        raise DatasetDMError(f"{settings.path} cannot be fetched ({reason}). {how_to_get(settings.path)}") from error
    return Path(folder)


def _kinds(error: BaseException | None) -> set[str]:
    """Names of the classes of an error and of those that it was raised from."""
    kinds: set[str] = set()
    while error is not None:
        kinds |= {kind.__name__ for kind in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return kinds
