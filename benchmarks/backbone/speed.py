"""Seconds per image, size of the folder, and quality against sampler steps.

    python -m benchmarks.backbone.speed --steps 5 10 15 20 30 --num-images 500

First the folder is loaded by `StableDiffusionPipeline.from_pretrained` alone, as anyone would, and draws. Then the
project's `Backbone.generate` and the plain pipeline's call are timed in turn, with the same prompts, sampler and batch;
run it on idle cores (the load average is printed). For the curve of quality, `--num-images` images are drawn for each
number of steps (none with 0), or taken from the cache if another script drew them.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from benchmarks.backbone.command import (
    IMAGE_SIZE,
    add_sampler,
    build_parser,
    markdown,
    open_backbone,
    report,
    sampler_settings,
    say,
    set_threads,
)
from benchmarks.backbone.drawing import draw_images
from benchmarks.backbone.figures import frechet_distance
from benchmarks.backbone.instrument import add_instrument, open_instrument
from benchmarks.backbone.prompt_fidelity import judge_things
from benchmarks.backbone.worlds import take_shots
from datasetdm.diffusion import Backbone
from datasetdm.diffusion.samplers import make_scheduler


def main() -> None:
    """Load, time, draw, print the tables."""
    arguments = parse_arguments()
    set_threads(arguments)
    load = os.getloadavg()[0]  # of others, as nothing has been done yet
    pipeline = load_plainly(arguments.backbone)
    backbone = open_backbone(arguments.backbone, arguments.device)
    pipeline.to(backbone.device)
    sizes = folder_sizes(arguments.backbone)
    speeds = time_steps(backbone, pipeline, arguments)
    quality = measure_quality(backbone, arguments) if arguments.num_images else {}
    tables = {
        "Size": markdown(["part", "MB"], [[part, size / 1e6] for part, size in sizes.items()]),
        f"Seconds per image, batches of {arguments.batch_size}, {torch.get_num_threads()} threads on "
        f"{backbone.device}, load average before {load:.1f}": speed_table(speeds),
    }
    if quality:
        tables[f"Quality, {arguments.num_images} images"] = quality_table(quality)
    figures = {
        "backbone": backbone.fingerprint,
        "bytes": sizes,
        "load_before": load,
        "seconds_per_image": speeds,
        "quality": quality,
    }
    report(arguments, tables, figures)


def load_plainly(folder: Path) -> StableDiffusionPipeline:
    """The folder as diffusers loads it on its own; it has to draw with its own sampler.

    Raises:
        ValueError: it draws a picture of another size, or one colour all over.
    """
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    (image,) = pipeline("a red car on the street", num_inference_steps=5, output_type="np").images
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE, 3) or not np.isfinite(image).all() or image.std() < 1e-3:
        raise ValueError(f"{folder}: the plain pipeline draws an image of {image.shape}, deviation {image.std():.4f}.")
    say(f"{folder} loads as a plain StableDiffusionPipeline and draws")
    return pipeline


def folder_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each part (subfolder or file) of the model, and of all together."""
    sizes = {
        entry.name: sum(file.stat().st_size for file in [entry, *entry.rglob("*")] if file.is_file())
        for entry in sorted(folder.iterdir())
    }
    return {**sizes, "all": sum(sizes.values())}


def time_steps(
    backbone: Backbone, pipeline: StableDiffusionPipeline, arguments: argparse.Namespace
) -> dict[int, dict[str, float]]:
    """Per number of steps the median seconds per image of the project's way and of the plain pipeline's."""
    captions = [shot.sample.caption for shot in take_shots("prompts", arguments.batch_size, seed=arguments.seed)]
    pipeline.scheduler = make_scheduler(arguments.scheduler, pipeline.scheduler)
    seconds = {}
    for steps in arguments.steps:
        ways = {
            "project": lambda steps=steps: _draw(backbone, captions, steps, arguments),
            "plain": lambda steps=steps: _draw_plainly(pipeline, captions, steps, arguments),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(arguments.repeats + 1):  # the first one warms up
            for name, way in ways.items():
                duration = _clock(way, backbone.device)
                if round_:
                    taken[name].append(duration / len(captions))
        seconds[steps] = {name: statistics.median(values) for name, values in taken.items()}
        say(f"{steps} steps: {seconds[steps]} seconds per image")
    return seconds


def measure_quality(backbone: Backbone, arguments: argparse.Namespace) -> dict[int, dict[str, float]]:
    """Per number of steps what the instrument finds (relative to renders), and the Frechet distance from renders."""
    instrument = open_instrument(arguments)
    shots = list(take_shots("prompts", arguments.num_images, seed=arguments.seed))
    captions = [shot.sample.caption for shot in shots]
    renders = np.stack([shot.sample.image for shot in shots])
    others = take_shots("reference", arguments.num_images, seed=arguments.seed)
    reference = instrument.stream_features(shot.sample.image for shot in others)
    figures = {0: {"found": 1.0, "count": 1.0, "frechet": frechet_distance(reference, instrument.features(renders))}}
    for steps in arguments.steps:
        drawn = draw_images(
            backbone,
            captions,
            sampler_settings(arguments, steps),
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            cache=arguments.cache,
        )
        things = judge_things(instrument, shots, renders, drawn)
        figures[steps] = {
            "found": things["found"]["relative"],
            "count": things["count"]["relative"],
            "frechet": frechet_distance(reference, instrument.features(drawn)),
        }
    return figures


def speed_table(speeds: dict[int, dict[str, float]]) -> str:
    """The table of `time_steps`."""
    rows = [[str(steps), row["project"], row["plain"], row["project"] / row["plain"]] for steps, row in speeds.items()]
    return markdown(["steps", "`Backbone.generate`", "plain `StableDiffusionPipeline`", "ours / plain"], rows)


def quality_table(quality: dict[int, dict[str, float]]) -> str:
    """The table of `measure_quality`; the renders come first."""
    rows = [[str(steps) if steps else "renders", *row.values()] for steps, row in quality.items()]
    return markdown(["steps", "category found / renders'", "number right / renders'", "Frechet"], rows)


def _draw(backbone: Backbone, captions: list[str], steps: int, arguments: argparse.Namespace) -> None:
    drawn = backbone.generate(
        captions,
        generators=_generators(len(captions)),
        num_inference_steps=steps,
        guidance_scale=arguments.guidance,
        guidance_rescale=arguments.guidance_rescale,
        scheduler=arguments.scheduler,
    )
    backbone.decode(drawn.latents)


def _draw_plainly(
    pipeline: StableDiffusionPipeline, captions: list[str], steps: int, arguments: argparse.Namespace
) -> None:
    pipeline(
        captions,
        generator=_generators(len(captions)),
        num_inference_steps=steps,
        guidance_scale=arguments.guidance,
        guidance_rescale=arguments.guidance_rescale,
        height=IMAGE_SIZE,
        width=IMAGE_SIZE,
        output_type="np",
    )


def _generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(count)]


def _clock(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds that the work takes, a GPU's included."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, num_images=500)
    parser.add_argument("--repeats", type=int, default=3, help="timings per number of steps; their median counts")
    add_sampler(parser, several_steps=(5, 10, 15, 20, 30))
    add_instrument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
