import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.datasets.standard.masks import encode_mask
from datasetdm.evaluation.coco import CocoMaskEvaluator

SIZE = (64, 64)


def named(*names: str) -> list[Category]:
    return [Category(id=number, name=name) for number, name in enumerate(names, 1)]


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def some_objects() -> Instances:
    return Instances.of(np.array([square(2, 2, 20), square(30, 30, 10), square(50, 5, 3)]), np.array([0, 1, 0]))


def crowded(instances: Instances, crowd: list[bool]) -> Instances:
    return Instances(masks=instances.masks, labels=instances.labels, scores=instances.scores, crowd=np.array(crowd))


def score(target: Instances, predicted: Instances) -> dict[str, float]:
    evaluator = CocoMaskEvaluator(named("box", "disc", "star"))
    evaluator.add(target, predicted)
    return evaluator.compute()


def test_perfect_predictions_give_one_and_absent_categories_nan() -> None:
    metrics = score(some_objects(), some_objects())
    for name in ("mask_ap", "mask_ap50", "mask_ap75", "mask_ap/box", "mask_ap/disc"):
        assert metrics[name] == pytest.approx(1)
    assert math.isnan(metrics["mask_ap/star"])


def test_no_predictions_give_zero() -> None:
    metrics = score(some_objects(), Instances.empty(*SIZE))
    assert metrics["mask_ap"] == 0
    assert metrics["mask_ap50"] == 0


def test_nothing_to_find_is_nan() -> None:
    assert math.isnan(score(Instances.empty(*SIZE), some_objects())["mask_ap"])
    assert math.isnan(CocoMaskEvaluator(named("box")).compute()["mask_ap"])


def test_wrong_category_counts_as_missed() -> None:
    wrong = Instances.of(some_objects().masks, np.array([2, 2, 2]))
    assert score(some_objects(), wrong)["mask_ap"] == 0


def test_a_partial_overlap_counts_up_to_its_iou() -> None:
    target = Instances.of(np.array([square(0, 0, 20)]), np.array([0]))
    predicted = Instances.of(np.array([square(0, 0, 20) & (np.arange(64) < 13)]), np.array([0]))  # IoU 0.65
    metrics = score(target, predicted)
    assert metrics["mask_ap50"] == pytest.approx(1)
    assert metrics["mask_ap75"] == 0
    assert metrics["mask_ap"] == pytest.approx(0.4, abs=0.01)  # thresholds .50, .55, .60, .65 of ten


def test_crowds_are_neither_missed_nor_wrong() -> None:
    target = crowded(some_objects(), [False, False, True])
    kept = some_objects().select(np.array([0, 1]))
    assert score(target, kept)["mask_ap"] == pytest.approx(1)
    inside_crowd = Instances.of(np.array([*kept.masks, square(50, 5, 2)]), np.array([0, 1, 0]), np.array([1, 1, 1]))
    assert score(target, inside_crowd)["mask_ap"] == pytest.approx(1)


def test_area_ranges_scale_with_the_image() -> None:
    """At 64 x 64 the bounds are 32^2 and 96^2 times (64 / 640)^2: 10.2 and 92.2 pixels."""
    target = Instances.of(np.array([square(0, 0, 3), square(20, 20, 8), square(40, 40, 15)]), np.array([0, 0, 0]))
    metrics = score(target, target.select(np.array([0, 2])))
    assert metrics["mask_ap_small"] == pytest.approx(1)
    assert metrics["mask_ap_medium"] == 0
    assert metrics["mask_ap_large"] == pytest.approx(1)


def test_scores_rank_detections() -> None:
    target = Instances.of(np.array([square(0, 0, 10)]), np.array([0]))
    masks = np.array([square(0, 0, 10), square(40, 40, 10)])
    good = Instances.of(masks, np.array([0, 0]), np.array([0.9, 0.1]))
    bad = Instances.of(masks, np.array([0, 0]), np.array([0.1, 0.9]))
    assert score(target, good)["mask_ap"] == pytest.approx(1)
    assert score(target, bad)["mask_ap"] == pytest.approx(0.5)


def test_images_are_kept_apart_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluator = CocoMaskEvaluator(named("box", "disc"))
    evaluator.add(some_objects(), Instances.empty(*SIZE))
    evaluator.add(Instances.empty(*SIZE), some_objects())
    assert evaluator.compute()["mask_ap"] == 0
    assert capsys.readouterr().out == ""


def random_objects(rng: np.random.Generator, count: int) -> Instances:
    masks = np.array([square(*rng.integers(0, 40, 2), rng.integers(2, 24)) for _ in range(count)])
    objects = Instances.of(masks.reshape(-1, *SIZE), rng.integers(0, 3, count), rng.random(count))
    return crowded(objects, (rng.random(count) < 0.1).tolist())


def test_the_figures_are_those_of_pycocotools_in_one_go() -> None:
    rng = np.random.default_rng(0)
    evaluator = CocoMaskEvaluator(named("box", "disc", "star", "kite"))
    images, truth, found = [], [], []
    for image_id in range(1, 31):
        target = random_objects(rng, rng.integers(0, 6))
        kept = target.select(rng.random(len(target)) < 0.7)
        extra = random_objects(rng, rng.integers(0, 130 if image_id == 1 else 6))
        predicted = crowded(
            Instances.of(
                np.concatenate([np.roll(kept.masks, 1, axis=2), extra.masks]),
                np.concatenate([kept.labels, extra.labels]),
                rng.random(len(kept) + len(extra)),
            ),
            [False] * (len(kept) + len(extra)),
        )
        evaluator.add(target, predicted)
        images.append({"id": image_id, "height": SIZE[0], "width": SIZE[1]})
        for instances, records in ((target, truth), (predicted, found)):
            for mask, label, score, crowd in zip(
                instances.masks, instances.labels, instances.scores, instances.crowd, strict=True
            ):
                records.append(
                    {
                        "id": len(records) + 1,
                        "image_id": image_id,
                        "category_id": int(label),
                        "segmentation": encode_mask(mask),
                        "area": int(mask.sum()) * (640 / max(SIZE)) ** 2,
                        "iscrowd": int(crowd),
                        "score": float(score),
                    }
                )
    official = COCOeval(*(coco_of(images, records) for records in (truth, found)), iouType="segm")
    official.evaluate()
    official.accumulate()
    official.summarize()
    metrics = evaluator.compute()
    names = ("mask_ap", "mask_ap50", "mask_ap75", "mask_ap_small", "mask_ap_medium", "mask_ap_large")
    assert [metrics[name] if metrics[name] == metrics[name] else -1 for name in names] == official.stats[:6].tolist()
    assert 0.05 < metrics["mask_ap"] < 0.95


def coco_of(images: list[dict[str, int]], annotations: list[dict[str, object]]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": label} for label in range(4)]}
    coco.createIndex()
    return coco


def test_single_categories_are_listed_up_to_a_hundred() -> None:
    for count, listed in ((100, 100), (101, 0)):
        evaluator = CocoMaskEvaluator(named(*(f"thing {number}" for number in range(count))))
        evaluator.add(some_objects(), some_objects())
        metrics = evaluator.compute()
        assert sum("/" in name for name in metrics) == listed
        assert metrics["mask_ap"] == pytest.approx(1)


def test_masks_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be judged"):
        score(some_objects(), Instances.empty(32, 32))
