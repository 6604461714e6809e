"""The models of each task: how they are checked, trained and loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from datasetdm import config
from datasetdm.annotations.predictor import Predictor
from datasetdm.downstream.fit import fit
from datasetdm.downstream.model import DownstreamModel
from datasetdm.downstream.registry import find_model
from datasetdm.downstream.sources import Labelled
from datasetdm.task_parts import TASKS
from datasetdm.tasks.base import Task
from datasetdm.utils.extras import require_extra


@dataclass(frozen=True)
class Family:
    """The models of a task, which share one class.

    Attributes:
        task: name of the task.
        model: `module:class`, imported when it is first used.
        extra: what has to be installed for that, besides what the package always needs (see `utils.extras`).
    """

    task: str
    model: str
    extra: str | None = None

    @property
    def loader(self) -> str:
        """`module:function` that loads a trained model from its folder, for MLflow's registry."""
        return f"{self.model.partition(':')[0]}:load"

    def check_model(self, settings: config.Downstream) -> None:
        """DatasetDMError where the model does not serve the task, or cannot be trained with these settings."""
        find_model(self.task, settings.model).check(settings)

    def check_installed(self) -> None:
        """DatasetDMError where the library of the models is missing; it is not imported."""
        if self.extra is not None:
            require_extra(self.extra)

    def train(
        self,
        settings: config.Downstream,
        *,
        task: Task,
        datasets: Sequence[Labelled],
        dev: Labelled,
        seed: int,
        out: Path,
        device: str = "auto",
        resume: Path | None = None,
    ) -> dict[str, float]:
        """Train a model, write it to the folder `out` and return its metrics on `dev`; see `fit`."""
        return fit(
            self.model_class(),
            settings,
            task=task,
            datasets=datasets,
            dev=dev,
            seed=seed,
            out=out,
            device=device,
            resume=resume,
        )

    def load(self, folder: Path, device: str = "auto") -> Predictor:
        """The model that `train` wrote to a folder; errors as in `DownstreamModel.load`."""
        return self.model_class().load(folder, device)

    def model_class(self) -> type[DownstreamModel]:
        """The class, which is imported now."""
        found: type[DownstreamModel] = resolve_name(self.model)
        return found


DOWNSTREAM: dict[str, Family] = {
    name: Family(name, parts.downstream, parts.downstream_extra) for name, parts in TASKS.items()
}
