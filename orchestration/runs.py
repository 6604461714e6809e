"""What the steps of a Dagster run have in common: its settings, and the plans of its stages.

Each step may be in another process, on another machine. The first one to ask writes down the settings, and all others
read them there: an edit of `params.yaml` while a run is on does not change that run.
"""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from datasetdm.config import Params, load_params
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.engine.run import begin_stage
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.paths import settings_file
from datasetdm.utils.files import write_text
from datasetdm.utils.leases import lease

UNUSED = 14 * 24 * 3600.0  # seconds after which the settings of a run are removed


@lru_cache(maxsize=16)
def open_run(benchmark: str, run_id: str) -> Context:
    """The context of a benchmark with the settings of a run.

    Raises:
        DatasetDMError: the settings are wrong.
    """
    params = _settings(run_id, lambda: open_context(benchmark).params)
    return open_context(benchmark, params=params)


def run_params(run_id: str) -> Params:
    """The settings of a run."""
    return _settings(run_id, load_params)


class RunPlans:
    """The plan of a stage, made once in each process of a run and kept until the stage has published.

    Args:
        stage: the stage.
        benchmark: the benchmark.
    """

    def __init__(self, stage: Stage[Context], benchmark: str) -> None:
        self._stage, self._benchmark = stage, benchmark
        self._kept: dict[str, Plan] = {}

    def begin(self, run_id: str) -> Plan:
        """A new plan, of a stage that is about to run."""
        self._kept[run_id] = begin_stage(self._stage, open_run(self._benchmark, run_id))
        return self._kept[run_id]

    def of(self, run_id: str) -> Plan:
        """The plan that `begin` has made; another process makes its own."""
        if run_id not in self._kept:
            self._kept[run_id] = self._stage.plan(open_run(self._benchmark, run_id))
        return self._kept[run_id]

    def forget(self, run_id: str) -> None:
        """Let go of a plan that is not needed any more."""
        self._kept.pop(run_id, None)


def _settings(run_id: str, read: Callable[[], Params]) -> Params:
    """The settings that a run began with; the first caller reads them from `params.yaml`."""
    file = settings_file(run_id)
    with lease(file.parent / ".lease"):
        if not file.exists():
            _remove_unused(file.parent)
            write_text(file, read().model_dump_json(indent=2))
        file.touch()
        return Params.model_validate(json.loads(file.read_text()))


def _remove_unused(folder: Path) -> None:
    for file in folder.glob("*.json"):
        if time.time() - file.stat().st_mtime > UNUSED:
            file.unlink(missing_ok=True)
