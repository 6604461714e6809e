"""Pretrained weights for backbones of transformers: those of dense networks, and the ResNets of pose networks."""

import re
from pathlib import Path

from transformers import PreTrainedModel

from datasetdm.downstream.weights import misfit_error, read_weights


def load_pretrained(backbone: PreTrainedModel, file: Path) -> None:
    """Fill a backbone of transformers with the weights of a safetensors file; a classifier on top is left out.

    ResNets may be named as in torchvision (`conv1.weight`, `layer1.0.bn1.running_mean`, ...). All others are named as
    in transformers, whose hub models fit as they are.

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    state = {transformers_name(name): value.float() for name, value in read_weights(file).items()}
    # transformers' own loading knows how the names in files differ from those in the modules.
    filled, report = type(backbone).from_pretrained(
        None, config=backbone.config, state_dict=state, ignore_mismatched_sizes=True, output_loading_info=True
    )
    misfits = [name for name in sorted(report["missing_keys"]) if not _is_optional(name)]
    misfits += [str(mismatch) for mismatch in sorted(report["mismatched_keys"])]
    if misfits:
        raise misfit_error(file, misfits)
    backbone.load_state_dict(filled.state_dict())


def transformers_name(name: str) -> str:
    """The name that transformers' backbones have for a tensor of a torchvision ResNet or of a transformers model.

    >>> transformers_name("layer2.0.bn1.weight")
    'encoder.stages.1.layers.0.layer.0.normalization.weight'
    """
    kinds = {"conv": "convolution", "bn": "normalization"}
    if stem := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"embedder.embedder.{kinds[stem[1]]}.{stem[2]}"
    if block := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", name):
        stage, layer, kind, number, tensor = block.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{layer}.layer.{int(number) - 1}.{kinds[kind]}.{tensor}"
    if shortcut := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d)\.(\w+)", name):
        stage, layer, kind, tensor = shortcut.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{layer}.shortcut.{list(kinds.values())[int(kind)]}.{tensor}"
    return re.sub(r"^(resnet|segformer|glpn)\.", "", name)


def _is_optional(name: str) -> bool:
    """Counters are not weights. A Swin has norms on its outputs in dense models only."""
    return name.endswith("num_batches_tracked") or name.startswith("hidden_states_norms")
