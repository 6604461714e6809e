"""What the scripts share: arguments, tables and the file with the figures."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks.made_with import write_result
from datasetdm import config
from datasetdm.diffusion import Backbone, load_backbone

IMAGE_SIZE = 128  # of the miniworld and of the embedded model, in pixels
READING_BATCH = 32  # images that go through a network at a time


def build_parser(description: str, *, num_images: int) -> argparse.ArgumentParser:
    """The arguments that every script has.

    Args:
        description: the script's docstring.
        num_images: default of `--num-images`, whose meaning the docstring tells.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, default=Path("data/backbones/miniworld"), help="folder of the model")
    parser.add_argument("--num-images", type=int, default=num_images)
    parser.add_argument("--seed", type=int, default=0, help="of scenes, prompts, drawings and trainings")
    parser.add_argument("--threads", type=int, help="CPU threads; left to torch where it is not given")
    parser.add_argument("--cache", type=Path, default=Path("data/.work"), help="folder of all that is made once")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file for the figures and the settings")
    return parser


def add_sampler(parser: argparse.ArgumentParser, several_steps: Sequence[int] = ()) -> None:
    """How images are drawn; the defaults are those of the benchmark `coco` in `params.yaml`.

    Args:
        parser: gets the arguments.
        several_steps: makes `--steps` a list, with these as its default.
    """
    synthesis = config.load_params().benchmark("coco").synthesis
    usual = synthesis.sampler
    group = parser.add_argument_group("sampler")
    if several_steps:
        group.add_argument("--steps", type=int, nargs="+", default=list(several_steps))
    else:
        group.add_argument("--steps", type=int, default=usual.num_inference_steps)
    group.add_argument("--guidance", type=float, default=usual.guidance_scale)
    group.add_argument("--guidance-rescale", type=float, default=usual.guidance_rescale)
    group.add_argument("--scheduler", default=usual.scheduler, choices=["dpmsolver++", "ddim", "pndm", "model"])
    group.add_argument("--batch-size", type=int, default=synthesis.batch_size, help="images drawn at a time")


def sampler_settings(arguments: argparse.Namespace, steps: int | None = None) -> config.Sampler:
    """The arguments of `add_sampler` as the project's settings; `steps` picks one of several."""
    return config.Sampler(
        num_inference_steps=steps or arguments.steps,
        guidance_scale=arguments.guidance,
        guidance_rescale=arguments.guidance_rescale,
        scheduler=arguments.scheduler,
    )


def set_threads(arguments: argparse.Namespace) -> None:
    """Use as many CPU threads as `--threads` says."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
        cv2.setNumThreads(arguments.threads)


def backbone_settings(folder: Path) -> config.Backbone:
    """The settings of a model of the miniworld."""
    return config.Backbone(path=str(folder), image_size=IMAGE_SIZE)


def open_backbone(folder: Path, device: str) -> Backbone:
    """The model in a folder."""
    return load_backbone(backbone_settings(folder), device)


def say(text: str) -> None:
    """Progress goes to standard error, so that standard output holds the tables alone."""
    print(text, file=sys.stderr, flush=True)


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, numbers have three digits behind the point."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1)]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(arguments: argparse.Namespace, tables: Mapping[str, str], figures: Mapping[str, Any]) -> None:
    """Print the tables under their titles, and write figures and settings to `--out`."""
    for title, table in tables.items():
        print(f"\n## {title}\n\n{table}", flush=True)
    if arguments.out is not None:
        settings = {name: _plain(value) for name, value in sorted(vars(arguments).items())}
        write_result(arguments.out, {"figures": _plain(figures), "settings": settings})
        say(f"figures in {arguments.out}")


def ratio(part: float, whole: float) -> float:
    """`part / whole`; NaN where there is nothing to compare with."""
    return part / whole if whole else math.nan


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value)


def _plain(value: Any) -> Any:
    """Fit for JSON: paths as text, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
