"""Pretrained weights for ViTPose."""

from pathlib import Path

from torch import nn

from datasetdm.downstream.weights import misfit_error, read_weights

PREFIX = "backbone."  # of the transformer's tensors in a ViTPose file


def load_pretrained(backbone: nn.Module, file: Path) -> None:
    """Fill the transformer with the weights of a file in the ViTPose format; the head in the file is left out.

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    state = {name.removeprefix(PREFIX): value for name, value in read_weights(file).items() if name.startswith(PREFIX)}
    own = backbone.state_dict()
    misfits = [name for name in own if name not in state or state[name].shape != own[name].shape]
    if misfits:
        raise misfit_error(file, misfits)
    backbone.load_state_dict({name: state[name] for name in own})
