"""What a reviewed image is worth: the most doubtful labels corrected, against as many labels corrected at random.

    python -m benchmarks.review --seeds 0 --reviewed 25 50

The true labels of the embedded world are the reviewer. Drawn images have none, so the images are renders, those of the
oracle set: the P-Decoder labels them (the stage `annotate`, arm `pseudo`), the model of the arm `real` judges these
labels as `datasetdm review` does, and the worst of them, or random ones, get their true labels. Corrected images join
the labelled ones, and their old labels are left out, as in the arm `both`. The models learn from the labelled images
and from the renders, without splices, which would only add time.

The figures are the primary metric on dev and on test, and its gain per reviewed image over reviewing none. A run with
other seeds or numbers adds to the file. Ordinary stages make everything else, so an interrupted run continues.
"""

import argparse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import add_figures
from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.arms import LABELLED, PSEUDO, Training
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, evaluate
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.units import make_unit, resume_folder
from datasetdm.pipeline.labels.doubts import Judge, doubts
from datasetdm.pipeline.paths import DATA, Paths
from datasetdm.pipeline.stages import STAGES, train_downstream
from datasetdm.pipeline.training import dependencies, mixing, mixture, train, with_labelled
from datasetdm.pipeline.unlabelled_images import save_labelled
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.progress import print_progress

RESULTS = Path("benchmarks/results/labels/review.json")
WAYS = ("worst", "random")


def main() -> None:
    """Train on every choice of reviewed images."""
    arguments = parse_arguments()
    print_progress()
    context = variant(config.load_params(arguments.params), arguments)
    for stage in ("ingest", "adapt", "train_decoder", "annotate"):
        run_stage(STAGES[stage], context)
    downstream = context.settings.downstream
    settings = {
        "benchmark": arguments.benchmark,
        "num_real": context.settings.ingest.num_real,
        "renders": context.settings.ingest.num_oracle,
        "model": downstream.model,
        "iterations": downstream.iterations,
        "metric": context.task().primary_metric,
    }
    for seed in arguments.seeds:
        found = measure(context, seed, arguments.reviewed)
        add_figures(arguments.out, settings, {str(seed): found})
        print(seed, found, flush=True)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--benchmark", default="coco")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--reviewed", type=int, nargs="+", default=[25, 50], help="numbers of reviewed images")
    parser.add_argument("--iterations", type=int, help="of each training (default: those of the benchmark)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def variant(params: config.Params, arguments: argparse.Namespace) -> Context:
    """The benchmark with these seeds, in a folder of this study."""
    block = params.benchmark(arguments.benchmark)
    changes: dict[str, Any] = {
        "seeds": tuple(arguments.seeds),
        "experiment": block.experiment.model_copy(update={"arms": ("real", "pseudo")}),
    }
    if arguments.iterations:
        changes["downstream"] = block.downstream.model_copy(update={"iterations": arguments.iterations})
    changed = params.model_copy(
        update={"benchmarks": {**params.benchmarks, arguments.benchmark: block.model_copy(update=changes)}}
    )
    return Context(arguments.benchmark, changed, Paths(DATA / "review_study", arguments.benchmark))


def measure(context: Context, seed: int, numbers: Sequence[int]) -> dict[str, Any]:
    """The figures of a seed: way -> number of reviewed images -> figures; `none`: nothing reviewed."""
    judge = Judge(
        training=Training("real", seed), folder=train_downstream.trained(context, Training("real", seed)), apart=True
    )
    found = doubts(context, PSEUDO, seed, judge)
    names = sorted(found, key=lambda name: (found[name].score, name))
    order = {"worst": names, "random": np.random.default_rng(seed).permutation(sorted(names)).tolist()}
    none = figures_of(context, seed, ())
    rows: dict[str, Any] = {"labelled renders": len(names), "none": none, "quality": quality_of(context, seed, names)}
    for way in WAYS:
        rows[way] = {}
        for number in numbers:
            row = figures_of(context, seed, order[way][:number])
            gain = {f"{name}_per_image": (row[name] - none[name]) / number for name in row}
            rows[way][str(number)] = row | gain
    return rows


def quality_of(context: Context, seed: int, names: Sequence[str]) -> list[float]:
    """How good the P-Decoder's labels are, by the judge's order: the metric of each quarter, the worst first."""
    task = context.task()
    files = standard_format(*task.kind)
    given = {sample.name: sample for sample in files.load(context.paths.pseudo, PSEUDO.subset(seed))}
    true = {sample.name: sample for sample in files.load(context.paths.real, "oracle") if sample.name in given}
    found = []
    for part in np.array_split(np.array(names), 4):
        evaluator = build_evaluator(*task.kind)
        for name in part.tolist():
            evaluator.add(true[name].target, given[name].target)
        found.append(round(float(evaluator.compute()[task.primary_metric]), 4))
    return found


def figures_of(context: Context, seed: int, reviewed: Sequence[str]) -> dict[str, float]:
    """Dev and test figures of a model for which these renders were reviewed; trained if it is missing."""
    task, sets = context.task(), AnnotatedSets()
    folder = sets_folder(context, seed, reviewed)
    make_unit(folder, lambda temporary: make_sets(context, seed, reviewed, temporary))
    labelled = [(context.paths.real, LABELLED.subset(seed), "ingest"), (folder, "reviewed", "annotate")]
    groups = with_labelled(context, labelled, [(folder, "others", "annotate")])
    unit = context.paths.work("review_trainings") / digest(*dependencies(context), *mixing(context), seed, folder.name)

    def work(temporary: Path) -> None:
        train(context, mixture(groups, context, sets), seed, temporary, resume=resume_folder(unit))
        model = DOWNSTREAM[task.name].load(temporary, device=context.params.device)
        test = standard_format(*task.kind).load(context.paths.real, "test")
        write_json(temporary / "test.json", evaluate(model, task, test))

    make_unit(unit, work)
    return {
        "dev": read_json(unit / "metrics.json", remedy="Remove it.")[task.primary_metric],
        "test": read_json(unit / "test.json", remedy="Remove it.")[task.primary_metric],
    }


def sets_folder(context: Context, seed: int, reviewed: Sequence[str]) -> Path:
    """Where the reviewed and the other renders lie."""
    sets = AnnotatedSets()
    known = [
        sets.identity(root, name)
        for root, name in ((context.paths.real, "oracle"), (context.paths.pseudo, PSEUDO.subset(seed)))
    ]
    return context.paths.work("review_sets") / digest(known, sorted(reviewed))


def make_sets(context: Context, seed: int, reviewed: Sequence[str], folder: Path) -> None:
    """`reviewed`, with true labels; `others`, with the P-Decoder's."""
    task = context.task()
    files = standard_format(*task.kind)
    images = context.paths.real / "images"
    true = chosen(files.load(context.paths.real, "oracle"), set(reviewed), inside=True)
    save_labelled(task, folder, "reviewed", true, images)
    read = chosen(files.load(context.paths.pseudo, PSEUDO.subset(seed)), set(reviewed), inside=False)
    save_labelled(task, folder, "others", read, images)


def chosen(samples: Sequence[Sample], names: Collection[str], *, inside: bool) -> Iterator[Sample]:
    """The samples of these names, or all others."""
    return (sample for sample in samples if (sample.name in names) is inside)


if __name__ == "__main__":
    main()
