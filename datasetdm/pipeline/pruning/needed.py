"""Which finished work some settings still need."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.pace import has_worked
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.stages import STAGES


@dataclass
class Needed:
    """What is kept.

    Attributes:
        folders: units, made or not, that the settings name.
        unknown: kind of work -> why nobody can say now which of it is needed, so that all of it is.
    """

    folders: set[Path] = field(default_factory=set)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, params: Params, *, study: bool) -> None:
        """Add what all benchmarks of these settings need. Models are loaded, as for a plan; nothing is made.

        Raises:
            DatasetDMError: the settings are wrong.
        """
        for benchmark in params.benchmarks:
            context = open_context(benchmark, study=study, params=params)
            for stage in STAGES.values():
                if stage.has_units:
                    self._add(stage, context)

    def _add(self, stage: Stage[Context], context: Context) -> None:
        try:
            plan = stage.plan(context)
            self.folders |= {folder.absolute() for folder in [*plan.folders, *stage.rests_on(context, plan)]}
        except DatasetDMError as error:
            if has_worked(stage, context):
                why = f"{stage.name} of {context.benchmark} cannot be planned: {error}"
                self.unknown |= dict.fromkeys((stage.name, *stage.further_work), why)


def kinds_of_work() -> list[str]:
    """The folders of work whose units are known to be needed or not."""
    kinds: Iterable[str] = (
        kind for stage in STAGES.values() if stage.has_units for kind in (stage.name, *stage.further_work)
    )
    return list(dict.fromkeys(kinds))
