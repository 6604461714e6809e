"""Pretrain the embedded models.

python -m datasetdm.miniworld.pretraining --config params/pretrain_cpu.yaml [--part resnet]
"""

import argparse
import sys
from pathlib import Path

import torch

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.pretraining.pretrain_diffusion import pretrain_diffusion
from datasetdm.miniworld.pretraining.pretrain_resnet import pretrain_resnet
from datasetdm.miniworld.pretraining.recipe import load_recipe

PARTS = {"diffusion": pretrain_diffusion, "resnet": pretrain_resnet}


def main() -> int:
    """Train one part, or resume it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasetdm.miniworld.pretraining", description="Pretrain the models of the embedded world."
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="params/pretrain_cpu.yaml or params/pretrain_gpu.yaml"
    )
    parser.add_argument(
        "--part",
        choices=PARTS,
        default="diffusion",
        help="diffusion (default): the text-to-image model; resnet: where downstream models start from. The recipe's "
        "`alignment` and `perceptual` look through the ResNet, so train it first.",
    )
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.config)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        PARTS[arguments.part](recipe)
    except DatasetDMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
