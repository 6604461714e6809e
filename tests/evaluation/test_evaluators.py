import numpy as np

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks import build_task
from tests.annotations.test_semantic_map import CATEGORIES, scene


def test_the_semantic_evaluator_knows_the_groups_of_the_settings() -> None:
    for groups in ({}, {"unseen": ("disc",)}, {"tail": ("box",)}, {"unseen": ("disc",), "tail": ("box",)}):
        settings = config.SemanticAnnotation.model_validate(groups)
        task, evaluator = build_task(settings, CATEGORIES), build_evaluator(settings, CATEGORIES)
        evaluator.add(scene(), scene())
        metrics = {name: value for name, value in evaluator.compute().items() if not name.startswith("iou/")}
        assert task.headline[0] == task.primary_metric and metrics[task.primary_metric] == 1
        assert {*task.headline, "pixel_accuracy"} == {*metrics}
        assert task.rare == ((1,) if "tail" in groups else ())


def test_settings_reach_the_depth_evaluator() -> None:
    target = DepthMap(depth=np.full((100, 300), 50, np.float32), valid_mask=np.ones((100, 300), dtype=bool))
    guess = target.depth.copy()
    guess[:30] = 1  # above Garg's crop
    street = config.DepthAnnotation(max_depth=80, crop="garg")
    evaluator = build_evaluator(street, (Category(id=1, name="street"),))
    evaluator.add(target, DepthMap(depth=guess, valid_mask=target.valid_mask))
    assert evaluator.compute()["abs_rel"] == 0
