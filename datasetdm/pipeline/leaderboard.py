"""The leaderboard: the comparisons of all benchmarks in one table.

A view of what `compare` has published, made again in a second. It is not a stage: DVC versions what it is made of.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.paths import Paths
from datasetdm.reports.leaderboard import leaderboard, leaderboard_table, render_leaderboard
from datasetdm.task_parts import METRICS
from datasetdm.utils.files import read_json, remove_leftovers, write_json, write_text
from datasetdm.utils.leases import lease
from datasetdm.utils.program import program

ADDED = "added"  # the folder of comparisons that were made elsewhere, next to the leaderboard
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of such a run: it names a file
NEEDED = ("benchmark", "task", "world", "headline", "num_real", "num_synthetic", "arms")


def make_leaderboard(params: Params, folder: Path) -> StageResult:
    """Write `leaderboard.json`, `.md` and `.html` next to the reports.

    Args:
        params: whose benchmarks are listed.
        folder: of the reports (`paths.reports_folder`).

    Raises:
        DatasetDMError: no benchmark has been compared yet.
    """
    if not folder.is_dir():
        raise _nothing_yet(params, folder)
    with lease(folder / ".leaderboard.lease"):  # several benchmarks may be compared at the same time
        return _write(params, folder)


def _write(params: Params, folder: Path) -> StageResult:
    files = {name: Paths(folder.parent, name).reports / "metrics.json" for name in params.benchmarks}
    remedy = f"Compare the benchmark again (`{program()} compare ...`)."
    comparisons = {name: read_json(file, remedy=remedy) for name, file in files.items() if file.exists()}
    added = {file.stem: _read_added(file) for file in sorted((folder / ADDED).glob("*.json"))}
    if not comparisons and not added:
        raise _nothing_yet(params, folder)
    content = leaderboard(comparisons, list(params.benchmarks), added)
    table = leaderboard_table(content)
    for name in ("leaderboard.json", "leaderboard.md", "leaderboard.html"):
        remove_leftovers(folder / name)
    write_json(folder / "leaderboard.json", content)
    write_text(folder / "leaderboard.md", table)
    write_text(folder / "leaderboard.html", render_leaderboard(content))
    return StageResult(metrics={"benchmarks": float(len(comparisons) + len(added))}, tables={"Leaderboard": table})


def add_runs(runs: Iterable[str], folder: Path) -> None:
    """Put the comparisons of runs made elsewhere on the leaderboard, where they stay until their copy is deleted.

    Args:
        runs: `metrics.json` files, each with or without a name for the run: `sd14=their/metrics.json`. Without one, the
            folder of the file is the name.
        folder: of the reports.

    Raises:
        DatasetDMError: a file that is missing or no comparison, a name that is used twice; nothing is added then.
    """
    found: dict[str, Any] = {}
    problems = []
    for run in runs:
        name, _, path = run.rpartition("=")
        file = Path(path)
        name = name or file.absolute().parent.name
        try:
            comparison = _read_added(file)
            if not NAME.fullmatch(name):
                problems.append(f"'{name}' is no name for a run: use letters, digits, '.', '-' and '_'")
            elif name in found:
                problems.append(f"two runs are called '{name}': write name={path} to tell them apart")
            found[name] = comparison
        except DatasetDMError as error:
            problems.append(str(error))
    if problems:
        raise DatasetDMError("\n  ".join(["Nothing is added to the leaderboard:", *problems]))
    for name, comparison in found.items():
        write_json(folder / ADDED / f"{name}.json", comparison)


def _read_added(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DatasetDMError(f"{file} is not there: give the `metrics.json` that `compare` writes.")
    comparison = read_json(file, remedy="Give the `metrics.json` that `compare` writes.")
    absent = [key for key in NEEDED if not (isinstance(comparison, dict) and key in comparison)]
    if absent:
        raise DatasetDMError(
            f"{file} is no comparison (it lacks {', '.join(absent)}): give the `metrics.json` that `compare` writes."
        )
    unknown = [name for name in comparison["headline"] if name not in METRICS]
    if unknown:
        raise DatasetDMError(f"{file} has metrics that this version does not know: {', '.join(unknown)}.")
    return dict(comparison)


def _nothing_yet(params: Params, folder: Path) -> DatasetDMError:
    return DatasetDMError(
        f"There is no comparison under {folder} yet: run a benchmark first, such as `{program()} run "
        f"{next(iter(params.benchmarks))}`, or all of them with `make demo-all`."
    )
