"""The downstream models by task and name."""

from datasetdm.downstream.architectures import dense, detection, pose
from datasetdm.downstream.model_spec import ModelSpec
from datasetdm.errors import DatasetDMError

CATALOGUES = (detection.MODELS, dense.MODELS, pose.MODELS)


def models_of(task: str) -> list[ModelSpec]:
    """The models that serve a task."""
    return [spec for models in CATALOGUES for spec in models.values() if task in spec.tasks]


def find_model(task: str, name: str) -> ModelSpec:
    """The model of that name for a task.

    Raises:
        DatasetDMError: there is none; the message lists the models of the task.
    """
    found = {spec.name: spec for spec in models_of(task)}
    if name not in found:
        raise DatasetDMError(
            f"params.yaml: downstream.model '{name}' is not a model for the task {task}. Choose one of: "
            f"{', '.join(found)}."
        )
    return found[name]
