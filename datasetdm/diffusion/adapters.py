"""LoRAs: small changes of a model that teach it a domain, loaded through its pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.utils.digests import file_digest
from datasetdm.utils.hub import hub_answers

LORA_FILE = "lora.safetensors"  # what the stage `adapt` calls the LoRA that it trains


def find_lora(lora: config.Lora) -> Path:
    """The file of a LoRA, fetched from the hub if its path is no local one.

    Raises:
        DatasetDMError: there is none, or there are several and the settings do not say which.
    """
    place = Path(lora.path)
    if place.is_file():
        return place
    if not place.is_dir():
        place = _fetch(lora)
    files = sorted(place.glob(lora.file or "*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DatasetDMError(
            f"backbone.loras in params.yaml has {lora.path}, where one file of safetensors is expected; found: "
            f"{found}. Name it as `file`."
        )
    return files[0]


def lora_fingerprint(loras: Sequence[config.Lora]) -> str:
    """What the LoRAs add to a backbone's fingerprint: nothing if there are none."""
    return "".join(f" lora {file_digest(find_lora(lora)).hex()} {lora.scale}" for lora in loras)


def add_loras(pipeline: Any, loras: Sequence[config.Lora]) -> None:
    """Add LoRAs to the weights of a pipeline for good, each with its scale.

    Raises:
        DatasetDMError: the pipeline takes no LoRA, or a file does not fit it.
    """
    if not loras:
        return
    check_takes_loras(type(pipeline), "backbone.loras")
    for number, lora in enumerate(loras):
        file = find_lora(lora)
        try:
            pipeline.load_lora_weights(file.parent, weight_name=file.name, adapter_name=f"lora_{number}")
            pipeline.set_adapters([f"lora_{number}"])
        except Exception as error:  # peft and diffusers have no common base for files that do not fit
            reason = " ".join(str(error).split())
            raise DatasetDMError(f"The LoRA {file} of backbone.loras does not fit the model ({reason}).") from None
    names = [f"lora_{number}" for number in range(len(loras))]
    pipeline.set_adapters(names, [lora.scale for lora in loras])
    pipeline.fuse_lora(components=pipeline._lora_loadable_modules, adapter_names=names)
    pipeline.unload_lora_weights()


def check_takes_loras(pipeline_class: Any, setting: str) -> None:
    """DatasetDMError where the pipeline takes no LoRA; the message names the setting that asks for one."""
    if not hasattr(pipeline_class, "load_lora_weights"):
        raise DatasetDMError(f"{pipeline_class.__name__} takes no LoRA: remove {setting} in params.yaml.")


def _fetch(lora: config.Lora) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                lora.path,
                revision=lora.revision,
                allow_patterns=lora.file or "*.safetensors",
                local_files_only=not hub_answers(),
            )
        )
    except Exception as error:  # the hub's client raises errors of a dozen unrelated types
        raise DatasetDMError(
            f"The LoRA {lora.path} of backbone.loras is no local file or folder, and cannot be fetched from the hub "
            f"({type(error).__name__})."
        ) from error
