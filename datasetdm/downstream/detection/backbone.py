"""Pretrained weights for the backbones of detectors."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from mmdet.models.backbones.swin import swin_converter
from torch import nn

from datasetdm.downstream.weights import misfit_error, read_weights


def load_pretrained(backbone: nn.Module, file: Path) -> None:
    """Fill a backbone of mmdet with the weights of a safetensors file; a classifier on top is left out.

    ResNets are named as in torchvision (`conv1.weight`, `layer1.0.bn1.running_mean`, ...). Swin Transformers are named
    as in transformers, whose hub models fit as they are, or as in their authors' release
    (`layers.0.blocks.0.attn.qkv.weight`, ...).

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    state = read_weights(file)
    if any(".attention.self.query." in name for name in state):
        state = authors_swin(state)
    if any(name.startswith("layers.") for name in state):
        state = {name.removeprefix("backbone."): value for name, value in swin_converter(state).items()}
    misfits = _misfits(backbone, state)
    if misfits:
        raise misfit_error(file, misfits)
    backbone.load_state_dict(state, strict=False)


#: Names of the parts of a Swin Transformer in transformers -> in its authors' release; in the order of replacement.
_AUTHORS_NAMES = {
    r"^(swin\.)?embeddings\.patch_embeddings\.projection\.": "patch_embed.proj.",
    r"^(swin\.)?embeddings\.norm\.": "patch_embed.norm.",
    r"^(swin\.)?encoder\.": "",
    r"\.attention\.self\.query\.": ".attn.qkv.",
    r"\.attention\.self\.": ".attn.",
    r"\.attention\.output\.dense\.": ".attn.proj.",
    r"\.layernorm_before\.": ".norm1.",
    r"\.layernorm_after\.": ".norm2.",
    r"\.intermediate\.dense\.": ".mlp.fc1.",
    r"\.output\.dense\.": ".mlp.fc2.",
}


def authors_swin(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of transformers' Swin Transformer, named and arranged as in the authors' release."""
    renamed = {}
    for name, value in state.items():
        if re.search(r"\.self\.(key|value)\.", name):
            continue  # comes with the query
        if ".self.query." in name:
            value = torch.cat([state[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")])
        for theirs, authors in _AUTHORS_NAMES.items():
            name = re.sub(theirs, authors, name)
        renamed[name] = value
    return renamed


def _misfits(backbone: nn.Module, state: dict[str, torch.Tensor]) -> list[str]:
    """Names of the backbone's tensors that are missing in `state` or have another shape there."""
    return [
        name
        for name, tensor in backbone.state_dict().items()
        if (name in state and state[name].shape != tensor.shape) or (name not in state and not _is_optional(name))
    ]


def _is_optional(name: str) -> bool:
    """Counters and index tables are not weights. A Swin has norms on its outputs in detectors only."""
    return name.endswith(("num_batches_tracked", "relative_position_index")) or name.startswith("norm")
