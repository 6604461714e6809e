"""Better labels from the same labelled images: every variant on dev and on renders with true labels.

    python -m datasetdm run coco --study --until train_decoder
    python -m benchmarks.labels --seeds 0 1 --threads 1

Reads every image in every way once (kept in the cache), then joins and refines what was read as each variant says. A
variant and a seed give one file below `--out`, which is not made again. The first `CHOSEN_ON` renders served to choose
variants and constants and are left out.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.backbone.command import markdown, say, set_threads
from benchmarks.labels.agreement import measure_agreement
from benchmarks.labels.measures import measure
from benchmarks.labels.readings import Found, read_all
from benchmarks.labels.sets import open_set
from benchmarks.labels.variants import VARIANTS, Variant
from benchmarks.made_with import write_result
from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.pipeline.context import Context, open_context
from datasetdm.tasks.instance import InstanceTask

CHOSEN_ON = 120
TIMED = 12  # images
SETS = ("dev", "renders")


def main() -> None:
    """Measure what is missing, and print the table of all that is there."""
    arguments = parse_arguments()
    set_threads(arguments)
    context = open_context("coco", study=True)
    task = InstanceTask(context.task().categories)
    decoders = {str(seed): (arguments.decoders or context.paths.decoders) / str(seed) for seed in arguments.seeds}
    samples = {name: _samples(context, name, arguments) for name in SETS}
    found = {
        name: read_all(context.backbone(), task, samples[name], decoders, arguments.cache / "label_readings" / name)
        for name in SETS
    }
    for seed, folder in decoders.items():
        _measure_seed(context, seed, folder, samples, {name: found[name][seed] for name in SETS}, arguments)
    print(_table(arguments.out))


def _measure_seed(
    context: Context,
    seed: str,
    folder: Path,
    samples: dict[str, list[Sample]],
    found: dict[str, Found],
    arguments: argparse.Namespace,
) -> None:
    files = {name: arguments.out / f"{_slug(name)}_{seed}.json" for name in VARIANTS}
    agreement = arguments.out / f"agreement_{seed}.json"
    task = InstanceTask(context.task().categories)
    for name, file in files.items():
        if not file.exists():
            figures = {one: _measure(VARIANTS[name], task, samples[one], found[one]) for one in SETS}
            timing = _milliseconds(context, VARIANTS[name], folder, samples["renders"][:TIMED])
            content = {"variant": name, "seed": int(seed), **figures, "milliseconds_per_image": timing}
            write_result(file, content | {"images": {one: len(samples[one]) for one in SETS}})
            say(f"{name}, seed {seed}: {figures}, {timing} ms")
    if not agreement.exists():
        write_result(agreement, {one: measure_agreement(task, samples[one], found[one]) for one in SETS})


def _samples(context: Context, name: str, arguments: argparse.Namespace) -> list[Sample]:
    images = open_set(context, arguments.cache, name)
    first, count = (0, len(images)) if name == "dev" else (CHOSEN_ON, arguments.num_renders)
    return [images[position] for position in range(first, min(first + count, len(images)))]


def _measure(variant: Variant, task: InstanceTask, samples: list[Sample], found: Found) -> dict[str, float]:
    labels = [variant.label(task, [one], sample.image) for sample, one in zip(samples, found, strict=True)]
    return measure(task.categories, [sample.target for sample in samples], labels)


def _milliseconds(context: Context, variant: Variant, folder: Path, samples: list[Sample]) -> float | None:
    """Processor time for an image of the variant as the project's own settings say it; None if they cannot."""
    if variant.snap_first or variant.passes[0].by_attention:
        return None
    backbone = context.backbone()
    decoder, trained, settings = load_decoder(folder, backbone)
    first, *others = variant.passes
    levels = tuple(dict.fromkeys(one.timestep for one in others if one.timestep != first.timestep))
    flip = any(one.mirrored for one in others)
    attention = any(one.by_attention for one in others)
    reading = config.Reading(flip=flip, timesteps=levels, attention=attention) if others else None
    settings = settings.model_copy(update={"timestep": first.timestep, "reading": reading})
    task = InstanceTask(trained.categories, variant.settings)
    images, captions = [sample.image for sample in samples], [sample.caption for sample in samples]
    predict_images(backbone, decoder, task, images[:2], captions[:2], settings)  # the first call is slower
    start = time.process_time()
    predict_images(backbone, decoder, task, images, captions, settings)
    return 1000 * (time.process_time() - start) / len(images)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _table(out: Path) -> str:
    """Means over the seeds."""
    rows = []
    records = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    for name in VARIANTS:
        mine = [one for one in records if one.get("variant") == name]
        if mine:
            figures = [
                float(np.mean([one[part][metric] for one in mine]))
                for part in SETS
                for metric in ("mask_ap", "mask_ap50", "mask_ap75", "recall_at_precision_90")
            ]
            times = [one["milliseconds_per_image"] for one in mine if one["milliseconds_per_image"] is not None]
            rows.append([name, len(mine), *figures, round(float(np.mean(times))) if times else "-"])
    header = ["variant", "seeds", *(f"{part}: {m}" for part in SETS for m in ("AP", "AP50", "AP75", "R@P90")), "ms"]
    return markdown(header, rows)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--num-renders", type=int, default=880)
    parser.add_argument("--threads", type=int, help="CPU threads; left to torch where it is not given")
    parser.add_argument("--cache", type=Path, default=Path("data/.work"), help="folder of all that is made once")
    parser.add_argument("--decoders", type=Path, help="folder with a decoder per seed; default: those of the study")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/labels"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
