"""Does the agreement of several readings say how good a label is? For every task.

    python -m datasetdm run nyu --study --until train_decoder
    python -m benchmarks.agreement nyu --study

Reads each image of dev, its mirror image, and both at a second noise level; the attention alone, too, where the
benchmark reads it (`decoder.reading`).
For each column of the manifest that comes of this, and for the score, prints the rank correlation with the quality of
the image's label, which is the main metric of the task on this image, and the mean of that metric over the images that
agree best. The file of figures grows benchmark by benchmark.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.backbone.command import markdown
from benchmarks.made_with import write_result
from datasetdm import config
from datasetdm.annotations.sample import Prediction, Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.pipeline.context import Context, open_context
from datasetdm.tasks.base import Task
from datasetdm.utils.files import read_json

NOISY = 200  # the second noise level
KEPT = (0.25, 0.5, 0.75, 1.0)  # shares of the images

Figures = dict[str, dict[str, float]]


def main() -> None:
    """Measure one benchmark, add it to the file, and print its table."""
    arguments = parse_arguments()
    context = open_context(arguments.benchmark, study=arguments.study)
    figures = measure_decoder(context, context.seeds[0])
    name = f"{arguments.benchmark}_study" if arguments.study else arguments.benchmark
    earlier = read_json(arguments.out, remedy="Remove it.") if arguments.out.exists() else {}
    write_result(arguments.out, {**earlier, name: figures}, adds=True)
    print(table(figures))


def measure_decoder(context: Context, seed: int) -> Figures:
    """The figures of the P-Decoder of a seed on the images of dev."""
    backbone = context.backbone()
    decoder, task, settings = load_decoder(context.paths.decoders / str(seed), backbone)
    by_attention = settings.reading is not None and settings.reading.attention
    reading = config.Reading(flip=True, timesteps=(NOISY,), attention=by_attention)
    samples = standard_format(*task.kind).load(context.paths.real, "dev")
    samples = [samples[position] for position in range(len(samples))]
    found = predict_images(
        backbone,
        decoder,
        task,
        [sample.image for sample in samples],
        [sample.caption for sample in samples],
        settings.model_copy(update={"reading": reading}),
    )
    return measure_labels(task, samples, found)


def measure_labels(task: Task, samples: Sequence[Sample], found: Sequence[Prediction]) -> Figures:
    """For each column: Spearman's `correlation` with the quality, and `best_<share>`, the metric of the best images.

    Args:
        task: of the labels.
        samples: with true labels.
        found: what was read of each, with the agreement of its readings.
    """
    metrics = np.array([_metric(task, sample, label) for sample, label in zip(samples, found, strict=True)])
    counted = np.isfinite(metrics)
    columns = {"score": np.array([label.score for label in found])}
    for name in sorted({name for label in found for name in label.agreement}):
        columns[name] = np.array([label.agreement.get(name, 0.0) for label in found])
    sign = 1 if task.higher_is_better else -1
    return {
        name: _column(values[counted], metrics[counted], sign) for name, values in columns.items() if np.ptp(values) > 0
    }


def _metric(task: Task, sample: Sample, label: Prediction) -> float:
    """The main metric on one image; NaN if there is nothing in it to judge by."""
    evaluator = build_evaluator(task.settings, task.categories)
    evaluator.add(sample.target, label.target)
    return float(evaluator.compute()[task.primary_metric])


def _column(values: np.ndarray, metrics: np.ndarray, sign: int) -> dict[str, float]:
    order = np.argsort(-values, kind="stable")
    best = {f"best_{share:g}": float(metrics[order[: max(1, round(share * len(order)))]].mean()) for share in KEPT}
    return {"images": float(len(values)), "correlation": float(spearmanr(values, sign * metrics).statistic), **best}


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """A row per column of the manifest."""
    header = ["column", "images", "rank correlation", *(f"best {share:.0%}" for share in KEPT)]
    keys = ("correlation", *(f"best_{share:g}" for share in KEPT))
    return markdown(header, [[name, int(row["images"]), *(row[key] for key in keys)] for name, row in figures.items()])


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="a benchmark of params.yaml whose P-Decoder is trained")
    parser.add_argument("--study", action="store_true", help="the P-Decoder of the study")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/labels/agreement.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
