"""What `downstream.model` may be is known without importing the frameworks, and rightly."""

import pytest

from datasetdm import config
from datasetdm.downstream import DOWNSTREAM, dense_models, models, pose_models
from datasetdm.errors import DatasetDMError

SETTINGS = config.Downstream(model="solov2_r18", image_size=64, iterations=1, learning_rate=0.1)


def test_the_names_are_those_of_the_models() -> None:
    def dense(task: str) -> list[str]:
        return [name for name, spec in dense_models.MODELS.items() if task in spec.tasks]

    assert {task: list(model.models) for task, model in DOWNSTREAM.items()} == {
        "instance": list(models.MODELS),
        "semantic": dense("semantic"),
        "depth": dense("depth"),
        "pose": list(pose_models.MODELS),
    }


def test_what_would_fail_at_the_end_fails_at_the_start() -> None:
    DOWNSTREAM["instance"].check_model(SETTINGS)
    with pytest.raises(DatasetDMError, match=r"'solov2_r18' is no model for this task.*vitpose_tiny"):
        DOWNSTREAM["pose"].check_model(SETTINGS)
