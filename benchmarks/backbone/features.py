"""Features worth reading: mask AP on dev of a P-Decoder that learned from a few labelled images.

    python -m benchmarks.backbone.features --tables backbones timesteps --num-images 200
    python -m benchmarks.backbone.features --tables extraction labels --labels 10 40 160 4000

Tables, by `--tables`:
  backbones   the model, a U-Net of the same configuration with random weights, and pixels alone
  timesteps   the same decoder reading at several noise levels, with one and with several draws of noise
  extraction  features of the sampler's last step against re-noised images, judged by the instrument on drawn images
  labels      different numbers of labelled images; the number of cached views stays about the same

The decoder's settings and its outlines are those of `coco` in `--params`, its dev set `--num-images` renders. With the
empty prompt nothing can be read off the text. Every training is kept in the cache.
"""

import argparse
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backbone.command import (
    add_sampler,
    backbone_settings,
    build_parser,
    markdown,
    open_backbone,
    report,
    sampler_settings,
    say,
    set_threads,
)
from benchmarks.backbone.instrument import add_instrument, open_instrument
from benchmarks.backbone.stand_ins import Pixels, random_unet
from benchmarks.backbone.worlds import categories_of, renderer_state, take_shots
from datasetdm import config
from datasetdm.annotations.sample import Prediction, Sample
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import read, read_features
from datasetdm.decoder.trainer import evaluate, train_decoder
from datasetdm.diffusion import Backbone
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.utils.batches import batches
from datasetdm.utils.digests import digest
from datasetdm.utils.seeding import derived_seed

TABLES = ("backbones", "timesteps", "extraction", "labels")
Table = tuple[str, list[str], list[list[Any]]]  # title, header, rows


def main() -> None:
    """Make the requested tables and print them."""
    arguments = parse_arguments()
    set_threads(arguments)
    backbone = open_backbone(arguments.backbone, arguments.device)
    dev = [shot.sample for shot in take_shots("dev", arguments.num_images, seed=arguments.seed)]
    makers = {
        "backbones": compare_backbones,
        "timesteps": compare_timesteps,
        "extraction": compare_extraction,
        "labels": compare_labels,
    }
    tables: dict[str, str] = {}
    figures: dict[str, Any] = {"backbone": backbone.fingerprint, "decoder": decoder_settings(arguments).model_dump()}
    for name in arguments.tables:
        title, header, rows = makers[name](backbone, dev, arguments)
        tables[title] = markdown(header, rows)
        figures[name] = [dict(zip(header, row, strict=True)) for row in rows]
    report(arguments, tables, figures)


def compare_backbones(backbone: Backbone, dev: Sequence[Sample], arguments: argparse.Namespace) -> Table:
    """The model against random weights and against pixels, each with captions and with the empty prompt."""
    others = {
        "the model": backbone,
        "random U-Net": random_unet(backbone_settings(arguments.backbone), arguments.device, arguments.seed),
        "pixels": Pixels(backbone),
    }
    rows = []
    for name, other in others.items():
        metrics = _metrics(train(other, dev, decoder_settings(arguments), arguments.num_labelled, arguments))
        rows.append([name, *_headline(metrics)])
    title = f"Mask AP on {len(dev)} dev images, {arguments.num_labelled} labelled"
    return title, ["features", "with captions", "AP50", "empty prompt"], rows


def compare_timesteps(backbone: Backbone, dev: Sequence[Sample], arguments: argparse.Namespace) -> Table:
    """One decoder reading at each noise level, averaging over each number of draws."""
    settings = decoder_settings(arguments)
    folder = train(backbone, dev, settings, arguments.num_labelled, arguments)
    decoder, task, _ = load_decoder(folder, backbone)
    rows = []
    for timestep in arguments.timesteps:
        for draws in arguments.ensemble_sizes:
            reading = settings.model_copy(update={"timestep": timestep, "ensemble_size": draws})
            metrics = [evaluate(backbone, decoder, task, dev, reading, prompt) for prompt in (None, "")]
            rows.append([str(timestep), draws, *(one[task.primary_metric] for one in metrics)])
            say(f"read at {timestep} with {draws} draws: {rows[-1]}")
    title = f"Mask AP against the timestep of reading (trained at {settings.train_timesteps})"
    return title, ["timestep", "draws", "with captions", "empty prompt"], rows


def compare_labels(backbone: Backbone, dev: Sequence[Sample], arguments: argparse.Namespace) -> Table:
    """The model with different numbers of labelled images."""
    settings = decoder_settings(arguments)
    total = arguments.num_labelled * (settings.views_per_image or 32)  # where none are cached
    rows = []
    for count in arguments.labels:
        views = max(1, round(total / count))
        folder = train(backbone, dev, settings.model_copy(update={"views_per_image": views}), count, arguments)
        rows.append([str(count), views, *_headline(_metrics(folder))])
    title = f"Mask AP against the number of labelled images ({settings.iterations} iterations)"
    return title, ["labelled", "views of each", "with captions", "AP50", "empty prompt"], rows


def compare_extraction(backbone: Backbone, dev: Sequence[Sample], arguments: argparse.Namespace) -> Table:
    """The two ways of reading a drawn image; what the instrument sees in it serves as the truth."""
    instrument = open_instrument(arguments)
    settings = decoder_settings(arguments)
    folder = train(backbone, dev, settings, arguments.num_labelled, arguments)
    decoder, task, _ = load_decoder(folder, backbone)
    evaluators = {name: build_evaluator(*task.kind) for name in ("re-noised", "last step")}
    shots = take_shots("prompts", arguments.num_images, seed=arguments.seed)
    captions = [shot.sample.caption for shot in shots]
    for images, readings in read_both_ways(backbone, decoder, task, captions, settings, arguments):
        truths = instrument.annotate(images)
        for name, predictions in readings.items():
            for truth, prediction in zip(truths, predictions, strict=True):
                evaluators[name].add(truth, prediction.target)
    found = {name: evaluator.compute() for name, evaluator in evaluators.items()}
    rows = [[name, metrics["mask_ap"], metrics["mask_ap50"]] for name, metrics in found.items()]
    return f"Agreement with the instrument on {len(captions)} drawn images", ["features", "mask AP", "AP50"], rows


def read_both_ways(
    backbone: Backbone,
    decoder: Decoder,
    task: Task,
    captions: Sequence[str],
    settings: config.Decoder,
    arguments: argparse.Namespace,
) -> Iterator[tuple[list[np.ndarray], dict[str, list[Prediction]]]]:
    """Draw in batches; yields the images and what the decoder reads off them in either way."""
    sampler = sampler_settings(arguments)
    for batch in batches(enumerate(captions), arguments.batch_size):
        prompts = [caption for _, caption in batch]
        drawn = backbone.generate(
            prompts,
            generators=[_generator(arguments.seed, 0, number) for number, _ in batch],
            words=task.words,
            **sampler.model_dump(),
        )
        assert drawn.features is not None
        noise = [_generator(arguments.seed, 1, number) for number, _ in batch]
        noised = read_features(backbone, drawn.latents, prompts, words=task.words, settings=settings, generators=noise)
        images = list(backbone.decode(drawn.latents).numpy())
        with torch.no_grad():
            readings = {"re-noised": noised, "last step": [drawn.features]}
            yield images, {name: read(decoder, task, features, images, settings) for name, features in readings.items()}


def train(
    backbone: Backbone,
    dev: Sequence[Sample],
    settings: config.Decoder,
    num_labelled: int,
    arguments: argparse.Namespace,
) -> Path:
    """The folder of the decoder trained on the first `num_labelled` few-shot renders, from the cache if it is there."""
    task = build_task(coco_settings(arguments).task, categories_of("coco"))
    name = digest(
        backbone.fingerprint, settings, task.settings, num_labelled, len(dev), arguments.seed, renderer_state()
    )
    folder = arguments.cache / "features" / name
    resume = folder.with_suffix(".resume")
    make_unit(folder, partial(_train, backbone, task, dev, settings, num_labelled, arguments, resume))
    return folder


def _train(
    backbone: Backbone,
    task: Task,
    dev: Sequence[Sample],
    settings: config.Decoder,
    num_labelled: int,
    arguments: argparse.Namespace,
    resume: Path,
    out: Path,
) -> None:
    say(f"training a decoder on {num_labelled} labelled images")
    few_shot = [shot.sample for shot in take_shots("few_shot", num_labelled, seed=arguments.seed)]
    train_decoder(backbone, task, few_shot, dev, settings, seed=arguments.seed, out=out, resume=resume)
    shutil.rmtree(resume, ignore_errors=True)


def decoder_settings(arguments: argparse.Namespace) -> config.Decoder:
    """Those of the benchmark `coco`, with what the command line changes.

    No class is ruled out by the prompt: pixels have no prompt, and the empty one names nothing.
    """
    settings = coco_settings(arguments).decoder
    changes = {"iterations": arguments.iterations, "views_per_image": arguments.views}
    changed = {name: value for name, value in changes.items() if value is not None}
    return settings.model_copy(update={**changed, "category_from_prompt": False})


def coco_settings(arguments: argparse.Namespace) -> config.Benchmark:
    """The benchmark `coco` of the settings file."""
    return config.load_params(arguments.params).benchmark("coco")


def _metrics(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return metrics


def _headline(metrics: dict[str, float]) -> list[float]:
    return [metrics.get(name, math.nan) for name in ("mask_ap", "mask_ap50", "mask_ap_empty_prompt")]


def _generator(seed: int, stream: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(seed, stream, number))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, num_images=200)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings of the decoder")
    parser.add_argument("--num-labelled", type=int, default=40)
    parser.add_argument("--iterations", type=int, help="of the decoder, in place of the settings'")
    parser.add_argument("--views", type=int, help="cached views of a labelled image, in place of the settings'")
    parser.add_argument("--timesteps", nargs="+", type=int, default=[1, 50, 100, 200])
    parser.add_argument("--ensemble-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 40, 160, 4000])
    add_sampler(parser)
    add_instrument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
