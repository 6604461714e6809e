"""What covering prompts bring, at the same number of drawn images: the arm `both` with three kinds of prompts.

    python -m benchmarks.prompt_coverage --seeds 0 1 2 3 4

uniform    the templates as they are: every category about equally often, in scenes of a table
coverage   company as in the labelled images, and a selection out of three times as many prompts
dense      the same templates with three to five objects

Each kind is a separate benchmark in `data/prompt_coverage` and runs through the ordinary stages. An interrupted run
therefore continues where it stopped, and the decoders and the arm `real`, which all kinds share, are trained once. Dev
and test are both reported; only dev may guide choices. A run with further seeds adds to the file of figures.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.backbone.command import markdown
from benchmarks.figures import add_figures
from datasetdm import config
from datasetdm.arms import Training
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.paths import DATA, Paths
from datasetdm.pipeline.prompt_coverage import known_variety
from datasetdm.pipeline.stages import STAGES, synthesize, train_downstream
from datasetdm.reports.contrasts import paired_difference
from datasetdm.task_parts import METRICS
from datasetdm.utils.files import read_json, write_text
from datasetdm.utils.progress import print_progress

RESULTS = Path("benchmarks/results/prompts/coverage.json")
BASELINE = "uniform"
KINDS: dict[str, dict[str, Any]] = {
    BASELINE: {"companions": "scenes", "selection": None, "min_objects": 1},
    "coverage": {"companions": "real", "selection": {"candidates": 3}, "min_objects": 1},
    "dense": {"companions": "scenes", "selection": None, "min_objects": 3, "max_objects": 5},
}
ARMS = ("real", "both")
SHOWN = ("distinct", "vendi_score", "evenness", "objects_per_prompt", "company_distance")

Row = dict[str, Any]


def main() -> None:
    """Run the chains, print the tables."""
    arguments = parse_arguments()
    print_progress()
    params = config.load_params(arguments.params)
    rows: dict[str, Row] = {}
    for kind in arguments.kinds:
        context = variant(params, arguments.benchmark, kind, arguments.seeds)
        for stage in STAGES.values():
            run_stage(stage, context)
        rows[kind] = measure(context)
    rows = add_figures(arguments.out, {"benchmark": arguments.benchmark}, rows)
    tables = text_of(rows)
    print(tables, flush=True)
    write_text(arguments.out.with_suffix(".md"), f"{tables}\n")


def variant(params: config.Params, benchmark: str, kind: str, seeds: Sequence[int]) -> Context:
    """A benchmark with one of the `KINDS` of prompts and the two arms, in a separate data folder."""
    base = params.benchmark(benchmark)
    prompts = config.Prompts.model_validate({**base.prompts.model_dump(), **KINDS[kind]})
    experiment = base.experiment.model_copy(update={"arms": ARMS, "p_decoder": False})
    settings = base.model_copy(update={"prompts": prompts, "experiment": experiment, "seeds": tuple(seeds)})
    name = f"{benchmark}_{kind}"
    return Context(
        name, params.model_copy(update={"benchmarks": {name: settings}}), Paths(DATA / "prompt_coverage", name)
    )


def measure(context: Context) -> Row:
    """What a finished chain says: the prompts' variety, how many images were accepted, and the arms on dev and test."""
    metric = context.task().primary_metric
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    test = read_json(context.paths.reports / "metrics.json", remedy="Remove its folder; it is made again.")["arms"]
    return {
        "metric": metric,
        "variety": known_variety(context),
        "drawn": int(manifest["image"].nunique()),
        "accepted": {
            str(seed): int((manifest["accepted"] & (manifest["decoder"] == f"seed_{seed}")).sum())
            for seed in context.seeds
        },
        "dev": {
            arm: {
                str(seed): train_downstream.dev_figures(context, Training(arm, seed))[metric] for seed in context.seeds
            }
            for arm in ARMS
        },
        "test": {arm: test[arm][metric]["seeds"] for arm in ARMS},
    }


def contrasts(rows: dict[str, Row]) -> dict[str, Row]:
    """Set -> contrast -> paired difference over the seeds: what `both` gains over `real`, and over the baseline's."""
    found: dict[str, Row] = {}
    for subset in ("dev", "test"):
        pairs = {f"{kind}: both - real": (row[subset]["both"], row[subset]["real"]) for kind, row in rows.items()}
        if BASELINE in rows:
            base = rows[BASELINE][subset]["both"]
            pairs |= {
                f"{kind} - {BASELINE}": (row[subset]["both"], base) for kind, row in rows.items() if kind != BASELINE
            }
        found[subset] = {title: paired_difference(one, other) for title, (one, other) in pairs.items()}
    return found


def text_of(rows: dict[str, Row]) -> str:
    """The prompts and the contrasts as Markdown tables."""
    names = [name for name in SHOWN if any(name in row["variety"] for row in rows.values())]
    cells = [
        [
            kind,
            row["drawn"],
            len(row["accepted"]),
            round(fmean(row["accepted"].values()), 1),
            *(f"{row['variety'].get(name, float('nan')):.3g}" for name in names),
        ]
        for kind, row in rows.items()
    ]
    metric = METRICS[next(iter(rows.values()))["metric"]]
    lines = [
        [subset, title, metric.signed(one["mean"]), _interval(metric, one)]
        for subset, contrast in contrasts(rows).items()
        for title, one in contrast.items()
    ]
    prompts = markdown(["prompts", "drawn", "seeds", "accepted", *names], cells)
    return f"{prompts}\n\n{markdown(['set', 'difference', metric.axis, '95 % interval'], lines)}"


def _interval(metric: Any, difference: Row) -> str:
    return " to ".join(map(metric.signed, difference["interval"])) if difference["interval"] else "one seed"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="coco")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the settings of the benchmark")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="JSON file for the figures; a Markdown file next to it has the tables"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
