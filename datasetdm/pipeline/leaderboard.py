"""The leaderboard: the comparisons of all benchmarks in one table.

A view of what `compare` has published, made again in a second. It is not a stage: DVC versions what it is made of.
"""

from pathlib import Path

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.paths import Paths, reports_folder
from datasetdm.reports.leaderboard import leaderboard, leaderboard_table, render_leaderboard
from datasetdm.utils.files import read_json, remove_leftovers, write_json, write_text
from datasetdm.utils.leases import lease


def make_leaderboard(params: Params, *, study: bool = False) -> StageResult:
    """Write `leaderboard.json`, `.md` and `.html` next to the reports.

    Raises:
        DatasetDMError: no benchmark has been compared yet.
    """
    folder = reports_folder(study=study)
    if not folder.is_dir():
        raise _nothing_yet(params, folder)
    with lease(folder / ".leaderboard.lease"):  # several benchmarks may be compared at the same time
        return _write(params, folder)


def _write(params: Params, folder: Path) -> StageResult:
    files = {name: Paths(folder.parent, name).reports / "metrics.json" for name in params.benchmarks}
    remedy = "Compare the benchmark again (`python -m datasetdm compare ...`)."
    comparisons = {name: read_json(file, remedy=remedy) for name, file in files.items() if file.exists()}
    if not comparisons:
        raise _nothing_yet(params, folder)
    content = leaderboard(comparisons, list(params.benchmarks))
    table = leaderboard_table(content)
    for name in ("leaderboard.json", "leaderboard.md", "leaderboard.html"):
        remove_leftovers(folder / name)
    write_json(folder / "leaderboard.json", content)
    write_text(folder / "leaderboard.md", table)
    write_text(folder / "leaderboard.html", render_leaderboard(content))
    return StageResult(metrics={"benchmarks": float(len(comparisons))}, tables={"Leaderboard": table})


def _nothing_yet(params: Params, folder: Path) -> DatasetDMError:
    return DatasetDMError(
        f"There is no comparison under {folder} yet: run a benchmark first, such as `python -m datasetdm run "
        f"{next(iter(params.benchmarks))}`, or all of them with `make demo-all`."
    )
