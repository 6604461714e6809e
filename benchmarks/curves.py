"""What longer trainings, more drawn images and more labelled images bring, on the data of a finished `make study`.

    python -m benchmarks.curves coco --tables schedule amount labels --seeds 0 1 2

schedule   the arms of `--arms`, trained for each of `--iterations`; dev says which length is best for an arm
amount     `both` with the first `--drawn` images, of which the filters accept some, and always as many splices
labels     `real` with `--labels` images (the further ones are the first of `oracle`), and how many of these the study's
           `both` is worth: the break-even of annotation and computing

The last two train for the study's own number of iterations. A training is a unit: it is made once.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.backbone.command import markdown
from benchmarks.made_with import write_result
from datasetdm.annotations.sample import Sample
from datasetdm.arms import Training
from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled, evaluate
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline import training
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.units import make_unit, resume_folder
from datasetdm.pipeline.stages import synthesize, train_decoder, train_downstream
from datasetdm.pipeline.unlabelled_images import save_labelled
from datasetdm.task_parts import METRICS
from datasetdm.transforms.splice import augment
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json

AGAIN = "Remove it; it is made again."
DEV_AND_TESTS = ("dev", "test", "iid")

Row = dict[str, Any]


def main() -> None:
    """Train what is missing, print the tables."""
    arguments = parse_arguments()
    context = open_context(arguments.benchmark, study=True)
    found = {name: TABLES[name](context, arguments) for name in arguments.tables}
    if arguments.out:
        write_result(arguments.out, found)


def measure_schedule(context: Context, arguments: argparse.Namespace) -> list[Row]:
    """Arms against iterations, and which number is best for an arm by dev."""
    rows: list[Row] = []
    for arm in arguments.arms:
        curve = []
        for iterations in arguments.iterations:
            timed = context.with_settings("downstream", iterations=iterations)
            folders = [train_downstream.trained(timed, Training(arm, seed)) for seed in arguments.seeds]
            curve.append({"arm": arm, "iterations": iterations, **judge(timed, folders)})
        best = max(curve, key=lambda row: _merit(context, row["dev"]))
        rows += [{**row, "best_on_dev": row is best} for row in curve]
    show("Schedule", context, ["arm", "iterations", "best_on_dev"], rows)
    return rows


def measure_amount(context: Context, arguments: argparse.Namespace) -> list[Row]:
    """`both` against the number of drawn images."""
    rows = []
    for drawn in arguments.drawn:
        synthetic = [first_drawn(context, seed, drawn) for seed in arguments.seeds]
        folders = [train(context, seed, both_of(context, seed, *sets)) for seed, sets in synthetic]
        accepted = fmean(len(_samples(context, accepted)) for _, (accepted, _) in synthetic)
        rows.append({"drawn": drawn, "accepted": round(accepted), **judge(context, folders)})
    show("Amount", context, ["drawn", "accepted"], rows)
    return rows


def measure_labels(context: Context, arguments: argparse.Namespace) -> list[Row]:
    """`real` against the number of labelled images, and how many of these `both` is worth."""
    rows = []
    for count in sorted(arguments.labels):
        folders = [train(context, seed, [first_labelled(context, seed, count)]) for seed in arguments.seeds]
        rows.append({"trained_on": f"{count} labelled", "labels": count, **judge(context, folders)})
    both = judge(context, [train_downstream.trained(context, Training("both", seed)) for seed in arguments.seeds])
    show("Labels", context, ["trained_on"], [*rows, {"trained_on": "both", **both}])
    decoder_seconds = fmean(train_decoder.seconds_spent(context, seed) for seed in arguments.seeds)
    hours = (synthesize.seconds_spent(context) + decoder_seconds) / 3600
    worth = []
    for subset in both:
        curve = [(row["labels"], _merit(context, row[subset])) for row in rows]
        equal = equal_labels(curve, _merit(context, both[subset]))
        further = None if equal is None else equal - context.settings.ingest.num_real
        annotation = None if further is None else further * arguments.minutes_per_label / 60
        worth.append({"set": subset, "labels": equal, "hours_to_annotate": annotation, "hours_to_compute": hours})
    print(f"\n## Break-even, {arguments.minutes_per_label:g} minutes for a labelled image\n")
    print(markdown(list(worth[0]), [["-" if cell is None else cell for cell in row.values()] for row in worth]))
    return [*rows, {"trained_on": "both", **both}, {"break_even": worth}]


TABLES: dict[str, Callable[[Context, argparse.Namespace], list[Row]]] = {
    "schedule": measure_schedule,
    "amount": measure_amount,
    "labels": measure_labels,
}


def first_drawn(context: Context, seed: int, drawn: int) -> tuple[int, tuple[Labelled, Labelled]]:
    """Of the first so many drawn images those that the filters accept, and the splices of these; with the seed.

    Raises:
        DatasetDMError: the study has fewer images.
    """
    total = context.settings.synthesis.num_images
    if drawn > total:
        raise DatasetDMError(
            f"The study of {context.benchmark} draws {total} images, not {drawn}. Raise "
            "study.synthesis.num_images and study.prompts.num_prompts in params.yaml, and run `make study` again."
        )
    source = Labelled(folder=context.paths.synthetic, subset=f"seed_{seed}")
    chosen = [sample for sample in _samples(context, source) if int(Path(sample.name).stem) < drawn]
    splices = context.settings.augmentation
    accepted = save_set(context, chosen, source, drawn)
    spliced = save_set(context, augment(chosen, splices), source, drawn, splices, linked=False)
    return seed, (accepted, spliced)


def both_of(context: Context, seed: int, accepted: Labelled, spliced: Labelled) -> list[Labelled]:
    """The mixture of the arm `both` with these synthetic images."""
    real = (context.paths.real, f"few_shot_{seed}", "ingest")
    made = [(part.folder, part.subset, "synthesize") for part in (accepted, spliced)]
    return training.mixture(training.with_labelled(context, [real], made), context, AnnotatedSets())


def first_labelled(context: Context, seed: int, count: int) -> Labelled:
    """The labelled images of a seed, and the first of `oracle` up to so many.

    Raises:
        DatasetDMError: there are not so many.
    """
    few = Labelled(folder=context.paths.real, subset=f"few_shot_{seed}")
    further = Labelled(folder=context.paths.real, subset="oracle")
    samples = [*_samples(context, few), *_samples(context, further)]
    num_few = len(_samples(context, few))
    if not num_few <= count <= len(samples):
        raise DatasetDMError(
            f"{context.benchmark} has {num_few} labelled images and {len(samples) - num_few} of `oracle`: --labels has "
            f"numbers from {num_few} to {len(samples)}, not {count}."
        )
    return save_set(context, samples[:count], few, count, *annotated_set(further.folder, further.subset))


def save_set(
    context: Context, samples: Iterable[Sample], source: Labelled, *rest: Any, linked: bool = True
) -> Labelled:
    """Samples as a set of their own, which is made once.

    Args:
        context: the benchmark.
        samples: what is saved.
        source: the set that they come from.
        rest: what decides, beside the source, which they are.
        linked: their images lie in the source's folder, and are linked instead of written again.
    """
    unit = context.paths.work("curves") / digest(
        annotated_set(source.folder, source.subset), context.settings.task, *rest
    )

    def work(folder: Path) -> None:
        renumbered = (dataclasses.replace(sample, image_id=number) for number, sample in enumerate(samples, 1))
        if linked:
            save_labelled(context.task(), folder, source.subset, renumbered, source.images_dir)
        else:
            (folder / "images").mkdir()
            standard_format(*context.task().kind).save(folder, source.subset, renumbered)

    make_unit(unit, work)
    return Labelled(folder=unit, subset=source.subset)


def train(context: Context, seed: int, parts: Sequence[Labelled]) -> Path:
    """The folder of a training on these sets."""
    data = [[*annotated_set(part.folder, part.subset), round(part.weight, 6), round(part.until, 6)] for part in parts]
    unit = context.paths.work("curves") / digest(train_downstream.fingerprint(context), seed, data)
    resume = resume_folder(unit)
    make_unit(unit, lambda folder: training.train(context, parts, seed, folder, resume=resume))
    return unit


def judge(context: Context, folders: Sequence[Path]) -> Row:
    """Mean and deviation over trainings of the primary metric: on dev, which choices may use, and on the test sets."""
    metric = context.task().primary_metric
    sets = DEV_AND_TESTS if context.settings.ingest.num_iid else DEV_AND_TESTS[:-1]
    row = {}
    for subset in sets:
        values = [_figures(context, folder, subset)[metric] for folder in folders]
        row[subset] = {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else None, "values": values}
    return row


def _figures(context: Context, folder: Path, subset: str) -> dict[str, float]:
    made = folder if subset == "dev" else _evaluated(context, folder, subset)  # the training itself looks at dev
    figures: dict[str, float] = read_json(made / "metrics.json", remedy=AGAIN)
    return figures


def _evaluated(context: Context, folder: Path, subset: str) -> Path:
    task, data = context.task(), annotated_set(context.paths.real, subset)
    unit = context.paths.work("curves") / digest(folder / "model.safetensors", folder / "config.json", data)

    def work(made: Path) -> None:
        model = DOWNSTREAM[context.settings.task.name].load(folder, device=context.params.device)
        write_json(
            made / "metrics.json", evaluate(model, task, standard_format(*task.kind).load(context.paths.real, subset))
        )

    make_unit(unit, work)
    return unit


def equal_labels(curve: Sequence[tuple[int, float]], merit: float) -> float | None:
    """With how many labelled images a curve (labels, merit; ascending in labels) reaches a merit.

    Between its points a curve is straight over the logarithm of the labels. None where it does not reach so far.
    """
    if merit <= curve[0][1]:
        return curve[0][0]
    for (few, low), (many, high) in pairwise(curve):
        if low < merit <= high:
            return few * (many / few) ** ((merit - low) / (high - low))
    return None


def show(title: str, context: Context, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table: the named columns, then the metric on every set."""
    metric = METRICS[context.task().primary_metric]
    sets = [subset for subset in DEV_AND_TESTS if subset in rows[0]]
    cells = [[row[name] for name in names] + [_spread(metric, row[subset]) for subset in sets] for row in rows]
    print(f"\n## {title}, {metric.axis}\n\n{markdown([*names, *sets], cells)}", flush=True)


def _spread(metric: Any, figure: Row) -> str:
    deviation = "" if figure["std"] is None else f" ± {metric.text(figure['std'])}"
    return metric.text(figure["mean"]) + deviation


def _merit(context: Context, figure: Row) -> float:
    """A figure's mean, the higher the better."""
    mean: float = figure["mean"]
    return mean if METRICS[context.task().primary_metric].higher_is_better else -mean


def _samples(context: Context, part: Labelled) -> Sequence[Sample]:
    return standard_format(*context.task().kind).load(part.folder, part.subset)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--arms", nargs="+", default=["real", "real_augmented", "both"])
    parser.add_argument("--iterations", nargs="+", type=int, default=[1000, 2000, 4000])
    parser.add_argument("--drawn", nargs="+", type=int, default=[100, 300, 1000, 2000])
    parser.add_argument("--labels", nargs="+", type=int, default=[40, 80, 160])
    parser.add_argument("--minutes-per-label", type=float, default=10.0, help="a person's time for one labelled image")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
