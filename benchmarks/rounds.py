"""Does it pay to learn from each round? Static prompts against looped ones: same table, same number of drawn images.

    python -m benchmarks.rounds curve coco --seeds 0 1 2 3 4 --drawn 100 200 400 800
    python -m benchmarks.rounds curve lvis --seeds 0 1 2 --drawn 100 200 400
    python -m benchmarks.rounds weakness coco --seeds 0 1 2 3 4 --drawn 400 --weak "light: night" "weather: rain"
    python -m benchmarks.rounds weakness coco --seeds 0 1 2 3 4 --drawn 400 --weak "size: medium" --labelled 120

curve     the score of `both` on test against the number of drawn images
weakness  the same after a weakness was planted: the labelled images lack some slices, which dev and test have

Both run the ordinary stages on copies of the benchmark in the folder `--data`, so finished work is not repeated. The
drawn images of the first round, the decoders and the labelled images are shared by all variants. The file of figures
holds what was measured for each seed; a run with further seeds, or further numbers of images, adds to it. A Markdown
file next to it has the tables.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from pkgutil import resolve_name
from statistics import fmean
from typing import Any

from benchmarks.backbone.command import markdown
from benchmarks.figures import add_figures, difference_text
from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.annotations.sizes import object_sizes
from datasetdm.arms import LABELLED, Training
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.paths import Paths
from datasetdm.pipeline.rounds.choice import read_rounds
from datasetdm.pipeline.rounds.feedback import judge_slices
from datasetdm.pipeline.stages import STAGES
from datasetdm.prompts.attributes import SIZE, kind_of, slice_name, slices_of
from datasetdm.task_parts import METRICS, TASKS
from datasetdm.utils.files import read_json, write_text
from datasetdm.utils.progress import print_progress

VARIANTS = ("static", "looped")
RESULTS = Path("benchmarks/results/rounds")
ADDED = ("seeds", "drawn", "data", "out")  # arguments in which the runs of one file of figures may differ
AGAIN = "Run the stage `compare` of this benchmark again."

Row = dict[str, Any]


def main() -> None:
    """Run what is missing, add what was measured to the file of figures, print the tables."""
    arguments = parse_arguments()
    print_progress()
    plant = leave_out(arguments.weak) if arguments.study == "weakness" else None
    out = arguments.out or RESULTS / f"{arguments.study}_{arguments.benchmark}.json"
    measured = add_figures(out, _settings(arguments), {})
    for variant, drawn in product(VARIANTS, arguments.drawn):
        if is_measured(measured, variant, drawn, arguments.seeds):
            continue
        context = run(arguments, variant, drawn, plant)
        measured = add_figures(out, _settings(arguments), measure(context, variant, drawn, planted=bool(plant)))
    tables = text_of(_settings(arguments), measured)
    print(tables, flush=True)
    write_text(out.with_suffix(".md"), tables)


def text_of(settings: Mapping[str, Any], measured: Row) -> str:
    """The tables of a file of figures, as Markdown."""
    task = resolve_name(TASKS[open_context(settings["benchmark"]).settings.task.name].task)
    metric = METRICS[task.primary_metric]
    tables = [curve_table(metric, measured["both on test"])]
    if settings["study"] == "weakness":
        tables.append(weakness_table(metric, measured, settings["weak"]))
    return "\n".join(tables)


def is_measured(measured: Row, variant: str, drawn: int, seeds: Sequence[int]) -> bool:
    """Whether the file of figures has all seeds of a run."""
    known = measured.get("both on test", {}).get(variant, {}).get(str(drawn), {})
    return all(str(seed) in known for seed in seeds)


def measure(context: Context, variant: str, drawn: int, *, planted: bool) -> Row:
    """The figures of a run."""
    key = str(drawn)
    found: Row = {"both on test": {variant: {key: _scores(context)}}}
    if planted:
        found["slices of test"] = {variant: {key: _judged(context)}}
        if variant == "looped":
            found["slices of dev"] = {key: _asked(context)}
    return found


def run(arguments: argparse.Namespace, variant: str, drawn: int, plant: Callable[[Context], None] | None) -> Context:
    """The benchmark with this many drawn images, from first stage to last; `plant` changes what `ingest` has made."""
    context = _context(arguments, variant, drawn)
    for name, stage in STAGES.items():
        run_stage(stage, context)
        if plant and name == "ingest":
            plant(context)
    return context


def leave_out(weak: Sequence[str]) -> Callable[[Context], None]:
    """Plants a weakness: takes the images of some slices out of the labelled ones.

    Dev and test keep them. Nothing is drawn by chance, so a rerun leaves the same images.
    """

    def plant(context: Context) -> None:
        files = standard_format(*context.task().kind)
        for seed in context.seeds:
            subset = LABELLED.subset(seed)
            samples = list(files.load(context.paths.real, subset))
            kept = [sample for sample in samples if not slices_of_sample(sample) & set(weak)]
            if not kept:
                raise DatasetDMError(f"Every labelled image is of {' or '.join(weak)}: raise --labelled.")
            files.save(context.paths.real, subset, kept)
            print(f"{context.benchmark}, {subset}: {len(kept)} of {len(samples)} images are not of {', '.join(weak)}")

    return plant


def slices_of_sample(sample: Sample) -> set[str]:
    """The slices of an annotated image by its caption and by its objects' sizes."""
    return {*slices_of(sample.caption), *(slice_name(SIZE, size) for size in object_sizes(sample.target))}


def curve_table(metric: Any, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """`both` on test: a row per number of drawn images, with looped - static, and looped at half the images."""
    static, looped = (scores[variant] for variant in VARIANTS)
    cells = [
        [
            drawn,
            len(static[drawn]),
            metric.text(fmean(static[drawn].values())),
            metric.text(fmean(looped[drawn].values())),
            difference_text(metric, looped[drawn], static[drawn]),
            difference_text(metric, looped.get(str(int(drawn) // 2), {}), static[drawn]),
        ]
        for drawn in sorted(static, key=int)
    ]
    header = ["drawn", "seeds", *VARIANTS, "looped - static", "looped with half - static"]
    return f"## both on test, {metric.axis}\n\n{markdown(header, cells)}\n"


def weakness_table(metric: Any, measured: Row, weak: Sequence[str]) -> str:
    """The weak slices and the others of their kind, by `both` on test; and what the first round asked for."""
    static, looped = (measured["slices of test"][variant] for variant in VARIANTS)
    cells = []
    for drawn, dev in sorted(measured["slices of dev"].items(), key=lambda item: int(item[0])):
        if unknown := sorted({name for name in weak for seeds in dev.values() if name not in seeds}):
            raise DatasetDMError(f"Dev does not show {', '.join(unknown)}. It shows: {'; '.join(sorted(dev))}.")
        for name in weak:
            found = [seeds[name] for seeds in dev.values()]
            asked = [fmean(one[key] for one in found) for key in ("need", "share_of_prompts", "share_of_next")]
            names = {one for seeds in dev.values() for one in seeds}
            rest = {one for one in names if kind_of(one) == kind_of(name) and one not in weak}
            of_slices = [
                difference_text(metric, _mean_of(which, looped[drawn]), _mean_of(which, static[drawn]))
                for which in ({name}, rest)
            ]
            cells.append([name, drawn, len(static[drawn]), *(f"{value:.3g}" for value in asked), *of_slices])
    header = ["slice", "drawn", "seeds", "need", "prompts", "next prompts", "looped - static", "the rest of its kind"]
    return f"## Planted weakness, {metric.axis}\n\n{markdown(header, cells)}\n"


def _context(arguments: argparse.Namespace, variant: str, drawn: int) -> Context:
    """A new benchmark: a copy of the named one with the settings that this study compares."""
    base = open_context(arguments.benchmark, study=arguments.full).params
    block = base.benchmark(arguments.benchmark)
    num_real = arguments.labelled or block.ingest.num_real
    settings = block.model_dump() | {
        "seeds": arguments.seeds,
        "ingest": block.ingest.model_dump() | {"num_real": num_real, "num_iid": 0},
        "prompts": block.prompts.model_dump() | {"num_prompts": arguments.prompts},
        "synthesis": block.synthesis.model_dump()
        | {
            "num_images": drawn,
            "rounds": arguments.rounds if variant == "looped" else 1,
            "feedback": {"iterations": arguments.feedback_iterations, "strength": arguments.strength},
        },
        "experiment": block.experiment.model_dump() | {"arms": ["real", "both"], "p_decoder": False},
    }
    planted = "_planted" if arguments.study == "weakness" else ""
    name = f"{arguments.benchmark}{planted}_{variant}_{drawn}"
    params = base.model_copy(update={"benchmarks": {name: config.Benchmark.model_validate(settings)}, "study": {}})
    return replace(open_context(name, params=params), paths=Paths(arguments.data, name))


def _scores(context: Context) -> Row:
    """Seed -> the primary metric of `both` on test."""
    metrics = read_json(context.paths.reports / "metrics.json", remedy=AGAIN)
    scores: Row = metrics["arms"]["both"][context.task().primary_metric]["seeds"]
    return scores


def _judged(context: Context) -> Row:
    """Seed -> the slices of test by the model of `both`."""
    models = {seed: context.paths.downstream / str(Training("both", seed)) for seed in context.seeds}
    return {str(seed): judge_slices(context, model, "test")["slices"] for seed, model in models.items()}


def _asked(context: Context) -> Row:
    """The seeds of this run -> the slices of dev after the first round, over these seeds, and what was asked for."""
    return {" ".join(map(str, context.seeds)): read_rounds(context.paths.synthetic)[0]["slices"]}


def _mean_of(names: Collection[str], judged: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Seed -> the mean over some slices, by their numbers of images or objects."""
    found = {seed: [one for name, one in slices.items() if name in names] for seed, slices in judged.items()}
    return {
        seed: sum(one["value"] * one["count"] for one in slices) / sum(one["count"] for one in slices)
        for seed, slices in found.items()
        if slices
    }


def _settings(arguments: argparse.Namespace) -> Row:
    """What two runs must share for their figures to be put together."""
    return {name: value for name, value in sorted(vars(arguments).items()) if name not in ADDED}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["curve", "weakness"])
    parser.add_argument("benchmark", help="a benchmark of params.yaml, whose settings are taken")
    parser.add_argument("--full", action="store_true", help="the settings of `make study` instead of the demo's")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--drawn", nargs="+", type=int, default=[400], help="numbers of drawn images")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=2000, help="rows of the table that all variants draw from")
    parser.add_argument("--labelled", type=int, help="labelled images before those of --weak are left out")
    parser.add_argument("--weak", nargs="+", default=["light: night", "weather: rain"], help="slices to leave out")
    parser.add_argument("--feedback-iterations", type=int)
    parser.add_argument("--strength", type=float, default=config.Feedback().strength)
    parser.add_argument("--data", type=Path, default=Path("data/rounds"), help="where everything is made")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; default: in benchmarks/results/rounds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
