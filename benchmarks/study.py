"""A benchmark at study size, in as many sittings as it takes: `make study BENCHMARK=voc`.

    python -m benchmarks.study voc                      # the seeds of the block `study` that are not measured yet
    python -m benchmarks.study voc --seeds 0 1          # these seeds, for example on one of several machines
    python -m benchmarks.study coco --seeds 0 --arms real oracle   # some arms of a seed, where all take too long
    python -m benchmarks.study voc --join               # only join what is measured

Every sitting leaves a file in benchmarks/results/<benchmark>/runs: the comparison over its seeds, and what it was made
with (command, commit, weights, settings, versions, seconds). All files together give `metrics.json`, `table.md` and
`arms.png`, so a study can be made seed by seed, and even arm by arm. An interrupted sitting resumes. Several processes
share the work. The benchmarks that are measured are the rows of benchmarks/results/leaderboard.md.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.made_with import KEY, describe_run
from datasetdm.arms import ARMS, P_DECODER
from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.run import check_ready, run_stage
from datasetdm.pipeline.planning.benchmark import plan_benchmark
from datasetdm.pipeline.planning.plan import seconds_taken
from datasetdm.pipeline.stages import STAGES
from datasetdm.reports.comparison import plot
from datasetdm.reports.joining import join, trainings_of
from datasetdm.reports.leaderboard import leaderboard, leaderboard_table
from datasetdm.reports.text import comparison_text
from datasetdm.utils.files import read_json, write_json, write_text
from datasetdm.utils.processors import num_processors
from datasetdm.utils.progress import duration, print_progress, say, working_on

RESULTS = Path("benchmarks/results")
ROWS = ("arms", "p_decoder")  # settings that say which rows a comparison has


def main() -> int:
    """Run the seeds that are missing, then join all that is measured."""
    arguments = parse_arguments()
    try:
        study(
            arguments.benchmark,
            arguments.seeds,
            arguments.arms,
            arguments.processes,
            only_join=arguments.join,
        )
    except DatasetDMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def study(
    benchmark: str,
    seeds: Sequence[int] | None,
    arms: Sequence[str] | None,
    processes: int,
    *,
    only_join: bool = False,
) -> None:
    """What the command does; see the top of this file."""
    folder, context = RESULTS / benchmark, open_context(benchmark, study=True)
    measured = {row for run in read_runs(folder).values() for row in trainings_of(run["comparison"])}
    print_progress()
    for left in [] if only_join else sittings(context, seeds, arms, measured, folder):
        with working_on(f"study {benchmark}"):
            announce(left, processes)
        run_side_by_side(left, processes)
        record(left, folder / "runs" / file_name(left, context))
    write_joined(folder)


def sittings(
    context: Context,
    seeds: Sequence[int] | None,
    arms: Sequence[str] | None,
    measured: Collection[tuple[str, int]],
    folder: Path,
) -> list[Context]:
    """The study in parts that lack the same arms, without what is measured.

    Raises:
        DatasetDMError: the study has no such arm, or one whose teacher is not among those that are missing.
    """
    experiment = context.settings.experiment
    if unknown := set(arms or ()) - {*experiment.arms}:
        raise DatasetDMError(
            f"The study of {context.benchmark} has no arm {_listed(sorted(unknown))}: add it to experiment.arms in the "
            f"block `study` of the benchmark, or choose of {_listed(experiment.arms)}."
        )
    missing: dict[tuple[str, ...], list[int]] = {}
    for seed in seeds or context.seeds:
        left = [arm for arm in arms or experiment.arms if (arm, seed) not in measured]
        for arm in left:
            if (teacher := ARMS[arm].teacher) and teacher not in left:
                raise DatasetDMError(
                    f"The teacher of {arm} is the model of {teacher}: measure both arms of seed {seed} in one sitting."
                )
        judged = experiment.p_decoder and (P_DECODER, seed) not in measured
        if done := [arm for arm in arms or experiment.arms if arm not in left]:
            say(f"seed {seed}: {_listed(done)} measured already; remove its file in {folder / 'runs'} to do it again")
        if left:
            missing.setdefault((*left, P_DECODER) if judged else tuple(left), []).append(seed)
    return [narrowed(context, rows, of_rows) for rows, of_rows in missing.items()]


def narrowed(context: Context, rows: Sequence[str], seeds: Sequence[int]) -> Context:
    """The benchmark with these rows of its table (arms, and maybe the P-Decoder) and seeds alone."""
    arms = tuple(arm for arm in rows if arm != P_DECODER)
    context = context.with_settings("experiment", arms=arms, p_decoder=P_DECODER in rows)
    return with_seeds(context, seeds)


def file_name(context: Context, whole: Context) -> str:
    """The name of the file of a sitting: its seeds and, if these are not all, its arms."""
    arms = context.settings.experiment.arms
    some = "" if set(arms) == {*whole.settings.experiment.arms} else f"_{'_'.join(arms)}"
    return f"seeds_{'_'.join(map(str, context.seeds))}{some}.json"


def run_side_by_side(context: Context, processes: int) -> None:
    """All stages, in as many processes."""
    others = [
        multiprocessing.get_context("spawn").Process(target=help_with, args=(context, processes))
        for _ in range(processes - 1)
    ]
    for other in others:
        other.start()
    try:
        run_chain(context, processes)
    finally:
        for other in others:
            other.join()


def announce(context: Context, processes: int) -> None:
    """Say what is about to run and about how long that takes."""
    torch.set_num_threads(_threads(processes))
    seconds = plan_benchmark(context).seconds
    say(
        f"seeds {_listed(context.seeds)}, arms {_listed(context.settings.experiment.arms)}: about "
        f"{duration(seconds / processes)} with {processes} processes side by side"
    )


def run_chain(context: Context, processes: int) -> None:
    """All stages; what another process is making is left to that one."""
    torch.set_num_threads(_threads(processes))
    check_ready(STAGES.values(), context)
    for stage in STAGES.values():
        run_stage(stage, context)


def help_with(context: Context, processes: int) -> None:
    """What a further process does; an error is left to the first one, which meets it, too."""
    print_progress()
    with suppress(DatasetDMError):
        run_chain(context, processes)


def _threads(processes: int) -> int:
    """Threads for each of the processes; a limit in OMP_NUM_THREADS holds, as other work may need the other cores."""
    limit = int(os.environ.get("OMP_NUM_THREADS") or num_processors())
    return max(1, min(limit, num_processors() // processes))


def with_seeds(context: Context, seeds: Sequence[int]) -> Context:
    """The benchmark with these seeds instead of those of `params.yaml`."""
    settings = context.settings.model_copy(update={"seeds": tuple(seeds)})
    benchmarks = {**context.params.benchmarks, context.benchmark: settings}
    return replace(context, params=context.params.model_copy(update={"benchmarks": benchmarks}))


def record(context: Context, file: Path) -> None:
    """Write the comparison of a run, and what it was made with."""
    remedy = f"Run `python -m benchmarks.study {context.benchmark}` again."
    made_with = describe_run() | {
        "seeds": list(context.seeds),
        "settings": context.settings.model_dump(mode="json", exclude={"seeds", "study"}),
        "stage_seconds": stage_seconds(context),
    }
    comparison = read_json(context.paths.reports / "metrics.json", remedy=remedy)
    write_json(file, {KEY: made_with, "comparison": comparison})


def stage_seconds(context: Context) -> dict[str, int]:
    """Stage -> seconds that its parts took, added up over all processes and sittings."""
    return {
        name: round(sum(seconds_taken(context, unit) for unit in stage.plan(context)))
        for name, stage in STAGES.items()
        if stage.has_units
    }


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The files of a benchmark's runs by path."""
    files = sorted((folder / "runs").glob("*.json"))
    return {str(file): read_json(file, remedy=f"Remove {file}, and measure its seeds again.") for file in files}


def write_joined(folder: Path) -> None:
    """Write what all runs of a benchmark say together.

    Raises:
        DatasetDMError: nothing is measured yet, or the runs do not fit each other.
    """
    runs = read_runs(folder)
    if not runs:
        raise DatasetDMError(f"{folder / 'runs'} holds no run yet: leave out --join to make one.")
    _check_settings(runs)
    metrics = join({name: run["comparison"] for name, run in runs.items()})
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "table.md", comparison_text(metrics))
    plot(metrics, metrics["headline"][0], folder / "arms.png")
    write_text(RESULTS / "leaderboard.md", leaderboard_of(RESULTS))
    print(comparison_text(metrics), flush=True)


def leaderboard_of(results: Path) -> str:
    """The table of all benchmarks that have a folder in `results`, in the order of params.yaml."""
    names = list(load_params().benchmarks)
    files = {name: results / name / "metrics.json" for name in names}
    remedy = "Run `python -m benchmarks.study` with --join for this benchmark."
    measured = {name: read_json(file, remedy=remedy) for name, file in files.items() if file.exists()}
    return leaderboard_table(leaderboard(measured, names))


def _check_settings(runs: dict[str, dict[str, Any]]) -> None:
    (name, first), *others = runs.items()
    for other, run in others:
        for key in ("diffusion_model", "settings"):
            if _compared(run[KEY][key]) != _compared(first[KEY][key]):
                raise DatasetDMError(f"{other} was made with another {key} than {name}: remove one, and run its seeds.")


def _compared(setting: Any) -> Any:
    """A setting without which rows a sitting made, and without what is null: a new setting is off by default."""
    if isinstance(setting, dict):
        return {name: _compared(value) for name, value in setting.items() if value is not None and name not in ROWS}
    return setting


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="a benchmark of params.yaml")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the block `study`")
    parser.add_argument("--arms", nargs="+", help="default: all arms of the study")
    parser.add_argument("--processes", type=int, default=min(2, num_processors()), help="that share the work")
    parser.add_argument("--join", action="store_true", help="run nothing, only join the runs that are there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
