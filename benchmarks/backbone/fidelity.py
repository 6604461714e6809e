"""How close are drawn images to renders, how varied are they, and are any of them copies?

    python -m benchmarks.backbone.fidelity --num-images 5000 --against data/.work/earlier_backbone

Features are the instrument's, its last stage pooled. Images drawn from captions of `coco` scenes are compared with as
many renders of *other* `coco` scenes; the renders of the captions' own scenes show what a perfect model would
reach. Near-copies: images drawn from captions of fresh `web` scenes, and the renders of these scenes, are held
against the images that the model was pretrained on (those of `--recipe`; rendered again if they are missing).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks.backbone.command import (
    READING_BATCH,
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
from benchmarks.backbone.figures import frechet_distance, manifold_figures
from benchmarks.backbone.instrument import Instrument, add_instrument, open_instrument
from benchmarks.backbone.worlds import take_shots
from datasetdm.diffusion import Backbone
from datasetdm.miniworld.pretraining.pool import load_pool
from datasetdm.miniworld.pretraining.recipe import load_recipe

NEIGHBOURS = 5
CLOSE = 1.0  # per cent of the fresh renders lie closer to a pretraining image than what counts as a near-copy


def main() -> None:
    """Draw with every model, compare, print the tables."""
    arguments = parse_arguments()
    set_threads(arguments)
    instrument = open_instrument(arguments)
    folders = [arguments.backbone, *([arguments.against] if arguments.against else [])]
    backbones = {str(folder): open_backbone(folder, arguments.device) for folder in folders}
    likeness = measure_likeness(instrument, backbones, arguments)
    tables = {"Fidelity and variety": likeness_table(likeness, arguments.num_images)}
    copies = {}
    if arguments.num_copies:
        copies = measure_copies(instrument, backbones, arguments)
        tables["Distance to the nearest pretraining image"] = copies_table(copies)
    fingerprints = {folder: backbone.fingerprint for folder, backbone in backbones.items()}
    figures = {"backbones": fingerprints, "instrument": instrument.name, "likeness": likeness, "copies": copies}
    report(arguments, tables, figures)


def measure_likeness(
    instrument: Instrument, backbones: dict[str, Backbone], arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Frechet distance, coverage, density and precision against fresh renders: of other renders, and of each model."""
    captions: list[str] = []
    say(f"rendering and reading {arguments.num_images} scenes twice")
    renders = instrument.stream_features(_images("prompts", arguments, captions))
    reference = instrument.stream_features(_images("reference", arguments))
    figures = {"renders": compare(reference, renders)}
    for folder, backbone in backbones.items():
        drawn = draw_images(
            backbone,
            captions,
            sampler_settings(arguments),
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            cache=arguments.cache,
        )
        figures[folder] = compare(reference, instrument.features(drawn))
    return figures


def compare(reference: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """All figures of one set of features against the reference's, N x D each."""
    return {"frechet": frechet_distance(reference, others), **manifold_figures(reference, others, NEIGHBOURS)}


def measure_copies(
    instrument: Instrument, backbones: dict[str, Backbone], arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """How near fresh `web` renders, and images of each model for their captions, come to a pretraining image."""
    shots = list(take_shots("web", arguments.num_copies, seed=arguments.seed, distribution="web"))
    features = {"renders": instrument.features(np.stack([shot.sample.image for shot in shots]))}
    captions = [shot.sample.caption for shot in shots]
    for folder, backbone in backbones.items():
        drawn = draw_images(
            backbone,
            captions,
            sampler_settings(arguments),
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            cache=arguments.cache,
        )
        features[folder] = instrument.features(drawn)
    nearest = nearest_pretraining(instrument, features, arguments)
    close = float(np.percentile(nearest["renders"], CLOSE))
    return {
        kind: {
            "smallest": float(distances.min()),
            "median": float(np.median(distances)),
            "close_share": float((distances < close).mean()),
        }
        for kind, distances in nearest.items()
    }


def nearest_pretraining(
    instrument: Instrument, features: dict[str, np.ndarray], arguments: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Distance of each image to the nearest pretraining image in the space of the features."""
    images = load_recipe(arguments.recipe).images
    work = arguments.pretraining_images or load_recipe(arguments.recipe).work / "images"
    count = min(arguments.num_pretraining or images.num_images, images.num_images)
    pool = load_pool(work, num_images=count, size=images.size, seed=images.seed, workers=images.workers)
    nearest = {kind: np.full(len(rows), np.inf) for kind, rows in features.items()}
    say(f"reading {len(pool)} pretraining images")
    for start in range(0, len(pool), READING_BATCH):
        batch = np.stack([pool[number] for number in range(start, min(start + READING_BATCH, len(pool)))])
        seen = instrument.features(batch)
        for kind, rows in features.items():
            nearest[kind] = np.minimum(nearest[kind], cdist(rows, seen).min(axis=1))
    return nearest


def likeness_table(figures: dict[str, dict[str, float]], num_images: int) -> str:
    """The table of `measure_likeness`; the last column divides by the distance of renders from renders."""
    floor = figures["renders"]["frechet"]
    rows = [[_label(kind), *row.values(), row["frechet"] / floor] for kind, row in figures.items()]
    header = [f"{num_images} images", "Frechet", "coverage", "density", "precision", "Frechet / renders'"]
    return markdown(header, rows)


def copies_table(figures: dict[str, dict[str, float]]) -> str:
    """The table of `measure_copies`."""
    rows = [[_label(kind), *row.values()] for kind, row in figures.items()]
    return markdown(["images", "smallest", "median", f"share nearer than {CLOSE:g} % of fresh renders"], rows)


def _images(stream: str, arguments: argparse.Namespace, captions: list[str] | None = None) -> Any:
    """The renders of a stream one by one; their captions are added to the list."""
    for shot in take_shots(stream, arguments.num_images, seed=arguments.seed):
        if captions is not None:
            captions.append(shot.sample.caption)
        yield shot.sample.image


def _label(kind: str) -> str:
    return "fresh renders" if kind == "renders" else f"drawn by `{kind}`"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, num_images=5000)
    parser.add_argument("--against", type=Path, help="folder of a second model, such as the earlier version")
    parser.add_argument("--num-copies", type=int, default=500, help="images looked at for near-copies; 0: none")
    parser.add_argument(
        "--num-pretraining", type=int, help="pretraining images they are held against; all if not given"
    )
    parser.add_argument("--recipe", type=Path, default=Path("params/pretrain_gpu.yaml"), help="of the pretraining")
    parser.add_argument(
        "--pretraining-images", type=Path, help="folder of the rendered images; the recipe's if not given"
    )
    add_sampler(parser)
    add_instrument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
