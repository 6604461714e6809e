"""The rivals of the paper's table: the same chain with each way to read labels off the diffusion model.

    python -m benchmarks.rivals voc_zero_shot --seeds 0 1 2 --full
    python -m benchmarks.rivals voc --seeds 0 1 2 --full --only p_decoder grounding
    python -m benchmarks.rivals coco --table

Each method runs the ordinary stages on a copy of the benchmark in the folder `--data`, with the arms `real`,
`synthetic` and `both`. All share the labelled images, the drawn images and the trainings of `real`. Finished work is
not repeated, so an interrupted run continues, and several processes can take a method each (`--only`). The file of
figures is written after every stage; a run with further seeds or methods adds to it.

docs/rivals.md explains the methods, and says by what their few settings were chosen.
"""

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from filelock import FileLock

from benchmarks.backbone.command import markdown
from benchmarks.figures import add_figures, difference_text
from datasetdm import config
from datasetdm.decoder_methods import METHODS
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.units import unit_seconds
from datasetdm.pipeline.paths import Paths
from datasetdm.pipeline.stages import STAGES
from datasetdm.reports.paper import RIVALS, SOURCE
from datasetdm.task_parts import METRICS, Metric
from datasetdm.tracking import git_commit
from datasetdm.utils.files import read_json
from datasetdm.utils.progress import print_progress, say

RESULTS = Path("benchmarks/results/rivals")
ARMS = ("real", "synthetic", "both")
BASELINE = "baseline"
AGAIN = "Run the stage of this benchmark again."

#: Method -> what it changes in the benchmark's settings. The noise level of the two that read attention was chosen on
#: training images (docs/rivals.md); cross-validation is a part of DiffuMask. None joins its labels with another's.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "p_decoder": {},
    "grounding": {"decoder": {"method": "grounding", "reading": None}},
    "cross_attention": {
        "decoder": {"method": "cross_attention", "timestep": 100, "reading": None},
        "synthesis": {"cross_validation": {"folds": 3, "reject": 0.2}},
    },
    "self_attention": {"decoder": {"method": "self_attention", "timestep": 100, "reading": None}},
}

Row = dict[str, Any]


def main() -> None:
    """Run what is missing, add what was measured to the file of figures, print the table."""
    arguments = parse_arguments()
    print_progress()
    out = arguments.out or RESULTS / f"{arguments.benchmark}.json"
    if not arguments.table:
        failed = [method for method in arguments.only if not run(arguments, method, out)]
        if failed:
            say(f"no figures of {', '.join(failed)}: see `failed` in {out}")
    content = read_json(out, remedy="Run this without --table.")
    print(table(arguments.benchmark, content["measured"]), flush=True)


def run(arguments: argparse.Namespace, method: str, out: Path) -> bool:
    """All stages with one method; whether it came to its end. The file of figures is written after each stage."""
    context = variant_of(arguments, method)
    settings = _settings(arguments, context)
    try:
        for name, stage in STAGES.items():
            began = time.perf_counter()
            result = run_stage(stage, context)
            record = _record(context, name, time.perf_counter() - began)
            measured = _figures(context, method, name, result)
            _add(out, settings, {"stages": {method: {_seeds(context): {name: record}}}, **measured})
    except DatasetDMError as error:  # such as a method none of whose labels are accepted: that is a result, too
        _add(out, settings, {"failed": {method: {_seeds(context): {"stage": name, "reason": str(error)}}}})
        say(str(error))
        return False
    return True


def variant_of(arguments: argparse.Namespace, method: str) -> Context:
    """A copy of the benchmark with the settings of a method."""
    base = open_context(arguments.benchmark, study=arguments.full).params
    block: Row = base.benchmark(arguments.benchmark).model_dump()
    changes = {
        **{section: dict(values) for section, values in VARIANTS[method].items()},
        "seeds": arguments.seeds,
        "experiment": {"arms": list(ARMS), "p_decoder": False},
    }
    for section, values in changes.items():
        block[section] = {**block[section], **values} if isinstance(values, dict) else values
    name = f"{arguments.benchmark}_{method}"
    benchmark = config.Benchmark.model_validate(block)
    params = base.model_copy(update={"benchmarks": {name: benchmark}, "study": {}})
    return replace(open_context(name, params=params), paths=Paths(arguments.data, name))


def _figures(context: Context, method: str, stage: str, result: StageResult) -> Row:
    """What a finished stage says: method -> seed (or arm) -> metric -> value."""
    if stage == "train_decoder":
        found = {str(seed): _read(context.paths.decoders / str(seed) / "metrics.json") for seed in context.seeds}
        return {"labels on dev": {method: found}}
    if stage == "synthesize":
        return {"drawn": {method: {_seeds(context): _finite(result.metrics)}}}
    if stage != "compare":
        return {}
    report = _read(context.paths.reports / "metrics.json")
    arms = {arm: _by_metric(report["arms"][arm], report["headline"]) for arm in ARMS}
    return {
        "headline": report["headline"],
        "test": {method: {arm: arms[arm] for arm in ARMS[1:]}, BASELINE: {"real": arms["real"]}},
    }


def _by_metric(figures: Mapping[str, Any], names: Sequence[str]) -> Row:
    """Metric -> seed -> value."""
    return {name: _finite(figures[name]["seeds"]) for name in names if name in figures}


def _record(context: Context, stage: str, wall: float) -> Row:
    """How a stage was run; `seconds` are those of all its parts, whichever run made them."""
    folders = STAGES[stage].plan(context).folders if STAGES[stage].has_units else ()
    return {
        "command": " ".join(["python -m benchmarks.rivals", *sys.argv[1:]]),
        "commit": git_commit(),
        "seeds": list(context.seeds),
        "seconds": round(sum(map(unit_seconds, folders)), 1),
        "seconds_of_this_run": round(wall, 1),
    }


def _settings(arguments: argparse.Namespace, context: Context) -> Row:
    """What all figures of a file have in common."""
    return {
        "benchmark": arguments.benchmark,
        "full": arguments.full,
        "weights": context.backbone().fingerprint,
        "sizes": context.settings.ingest.model_dump(mode="json"),
        "num_images": context.settings.synthesis.num_images,
        "downstream": context.settings.downstream.model_dump(mode="json"),
    }


def _add(out: Path, settings: Row, measured: Row) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_suffix(".lock")):  # several processes may take a method each
        add_figures(out, settings, measured)


def table(benchmark: str, measured: Mapping[str, Any]) -> str:
    """The baseline and each method on test, with the paper's figures of the same row where it has any."""
    names = [name for name in measured.get("headline", ()) if name in METRICS]
    if not names:
        return f"No method of {benchmark} has been compared yet."
    paper = _paper_names(benchmark)
    primary = next((name for name in reversed(paper) if name in names), names[0])
    header = ["labels", "arm", "seeds", *(METRICS[name].title for name in names)]
    header += [f"{METRICS[primary].title}: - real", *(f"paper: {METRICS[name].title}" for name in paper)]
    cells = [
        [
            METHODS[method].title if method in METHODS else "-",
            arm,
            len(figures.get(primary, {})),
            *(_spread(METRICS[name], figures.get(name, {})) for name in names),
            difference_text(METRICS[primary], figures.get(primary, {}), _baseline(measured, primary)),
            *(_reported(benchmark, method, arm, name) for name in paper),
        ]
        for method in [BASELINE, *METHODS]
        for arm, figures in measured["test"].get(method, {}).items()
    ]
    return f"\n## {benchmark} on test\n\n{markdown(header, cells)}\n\n{SOURCE}"


def _baseline(measured: Mapping[str, Any], name: str) -> Row:
    seeds: Row = measured["test"][BASELINE]["real"].get(name, {})
    return seeds


def _reported(benchmark: str, method: str, arm: str, name: str) -> str:
    figures = RIVALS.get(benchmark, {}).get(method, {}).get(arm, {})
    return METRICS[name].text(figures[name]) if name in figures else "-"


def _paper_names(benchmark: str) -> list[str]:
    """The metrics that the paper gives for this benchmark."""
    arms = [figures for method in RIVALS.get(benchmark, {}).values() for figures in method.values()]
    return list(dict.fromkeys(name for figures in arms for name in figures))


def _spread(metric: Metric, seeds: Mapping[str, float]) -> str:
    if not seeds:
        return "-"
    values = list(seeds.values())
    return metric.text(fmean(values)) + (f" ± {metric.text(stdev(values))}" if len(values) > 1 else "")


def _finite(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}


def _read(file: Path) -> Row:
    content: Row = read_json(file, remedy=AGAIN)
    return content


def _seeds(context: Context) -> str:
    return " ".join(map(str, context.seeds))


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="a benchmark of params.yaml, whose settings are taken")
    parser.add_argument("--full", action="store_true", help="the settings of `make study` instead of the demo's")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="methods to run")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of what was measured")
    parser.add_argument("--data", type=Path, default=Path("data/rivals"), help="where everything is made")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; default: in benchmarks/results/rivals")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
