"""Dense affinity: masks that spread over places with similar features, and stop where features change."""

import torch
from torch.nn import functional as F


def random_walk(
    seeds: torch.Tensor, features: torch.Tensor, *, steps: int, radius: float, temperature: float
) -> torch.Tensor:
    """Let maps walk over a grid, each step to places nearby with similar features (AffinityNet, arXiv 1803.10464).

    A step replaces a place's value by the mean over its neighbourhood, weighted by the softmax of the cosine similarity
    of features. Theirs learns the affinity from confident masks; here the diffusion features already are similar within
    an object.

    Args:
        seeds: B x W x h x w.
        features: B x C x h x w; each channel is standardised over the image first.
        steps: 0 leaves the maps as they are.
        radius: places farther away than this, in cells, are not reached in one step.
        temperature: the lower, the more alike features have to be.

    Returns:
        B x W x h x w.
    """
    if not steps:
        return seeds
    height, width = features.shape[-2:]
    far = _distances(height, width, features.device) > radius
    walked = [
        _walk(maps.flatten(1), _transitions(one.flatten(1), far, temperature), steps)
        for maps, one in zip(seeds, features, strict=True)
    ]
    return torch.stack(walked).view_as(seeds)


def _walk(maps: torch.Tensor, transitions: torch.Tensor, steps: int) -> torch.Tensor:
    """W x N maps after some steps; column p of what is applied holds the weights of the mean at place p."""
    for _ in range(steps):
        maps = maps @ transitions.T
    return maps


def _transitions(features: torch.Tensor, far: torch.Tensor, temperature: float) -> torch.Tensor:
    """N x N from C x N features: row p has the weights of all places for place p, which sum to 1."""
    values = features.float()
    values = (values - values.mean(dim=1, keepdim=True)) / values.std(dim=1, keepdim=True).clamp(min=1e-6)
    values = F.normalize(values, dim=0)
    return ((values.T @ values) / temperature).masked_fill(far, -torch.inf).softmax(dim=-1)


def _distances(height: int, width: int, device: torch.device) -> torch.Tensor:
    """The distance of each place to each other, in cells, N x N."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    places = torch.cartesian_prod(rows, columns).float()
    return torch.cdist(places, places)
