"""Pretrained weights of a backbone: `downstream.pretrained` names a folder, or a model of Hugging Face's hub."""

from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from datasetdm.errors import DatasetDMError
from datasetdm.utils.hub import hub_answers, is_hub_name

REMEDY = "or set downstream.pretrained to null in params.yaml to train from scratch."


@cache
def weights_file(pretrained: str) -> Path:
    """`model.safetensors` in the folder of that name, or of the model of that name on the hub, downloaded at first use.

    `name@revision` pins a hub model to a commit, branch or tag. The answer is kept: offline, the hub's client would
    wait for the network every time.

    Raises:
        DatasetDMError: there is no such file, or the hub cannot be reached.
    """
    from transformers.utils import cached_file  # takes a second to import

    name, _, revision = (pretrained, "", "") if Path(pretrained).is_dir() else pretrained.partition("@")
    offline = is_hub_name(name) and not hub_answers()
    try:
        return Path(cached_file(name, "model.safetensors", revision=revision or None, local_files_only=offline))
    except Exception as error:  # the hub's client raises errors of a dozen unrelated types
        reason = " ".join(str(error).split())
        problem = (
            "is not on this machine, and the hub cannot be reached. Run this again with a network. Or download it "
            f"elsewhere (`hf download {name} model.safetensors --local-dir FOLDER`), name that folder here,"
            if offline
            else f"has no model.safetensors that can be read ({reason}) Name a folder with that file, or a model "
            "of the hub that has it (transformers' `save_pretrained` makes one of older formats),"
        )
        raise DatasetDMError(
            f"downstream.pretrained in params.yaml is {pretrained}, which {problem} {REMEDY}"
        ) from None


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        DatasetDMError: the file is damaged or half downloaded.
    """
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise DatasetDMError(f"{file} cannot be read ({error}). Fetch it again, {REMEDY}") from None


def misfit_error(file: Path, misfits: list[str]) -> DatasetDMError:
    """The error for a file that holds another network; `misfits` names tensors that are missing or differ in shape."""
    return DatasetDMError(
        f"{file} does not fit the backbone of this model: {len(misfits)} tensors are missing or have another shape, "
        f"such as {misfits[0]}. Choose another downstream.model or downstream.pretrained in params.yaml."
    )
