"""Filter of predicted persons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from datasetdm import config
from datasetdm.annotations.masks import boxes_of_masks, masks_of_boxes
from datasetdm.annotations.persons import KEYPOINT_SCORE, Persons, inside_image
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.filters.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Filter, compare_counts
from datasetdm.filters.instance import InstanceFilter

MIN_KEYPOINTS = 4  # a synthetic person with fewer stays in the annotation, but without keypoints
TOO_FEW_KEYPOINTS = "no person with enough keypoints"


class PersonFilter(Filter):
    """Filters persons as `InstanceFilter` filters objects, and then their keypoints."""

    def __init__(self, settings: config.PoseAnnotation, categories: Sequence[Category]):
        super().__init__(settings, categories)
        self._objects = InstanceFilter(config.InstanceAnnotation(), categories)

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`.

        Peaks above `KEYPOINT_SCORE` become visible keypoints (2), the others unlabelled (0). Persons with fewer than
        `MIN_KEYPOINTS` stay without keypoints, as COCO's small ones do. An image is rejected if all its persons are
        such, and with `require_prompted` also if it has another number of persons than the prompt asks for.
        """
        found: Persons = prediction.target
        numbered = found.as_instances(np.arange(len(found)))  # a label leads back from an object to its person
        alone = settings.model_copy(update={"ignore_threshold": None})  # a top-down model sees no background persons
        kept = self._objects.accept(Prediction(target=numbered, score=prediction.score), alone)
        persons = found.select(kept.target.labels)
        keypoints = _annotated(persons.keypoints, persons.keypoints[..., 2] >= KEYPOINT_SCORE)
        rejected = kept.rejected
        if rejected is None and settings.require_prompted and {*asked.values()} - {None, len(persons)}:
            rejected = NOT_FOUND
        if rejected is None and not keypoints.any():
            rejected = TOO_FEW_KEYPOINTS
        return Acceptance(
            target=replace(
                persons, keypoints=keypoints, masks=kept.target.masks, boxes=boxes_of_masks(kept.target.masks)
            ),
            rejected=rejected,
            scores={**kept.scores, "num_keypoints": float((keypoints[..., 2] > 0).sum())},
        )

    def count_agreement(self, target: Persons, asked: Mapping[int, int | None]) -> float | None:
        """See `Filter.count_agreement`; a person counts with or without keypoints."""
        return compare_counts(dict.fromkeys(asked, len(target)), asked)

    def filter_pseudo_labels(self, found: Persons, threshold: float, settings: config.Filter) -> Acceptance:
        """See `Filter.filter_pseudo_labels`; keypoints below `threshold` or outside the image become unlabelled.

        A top-down model is given the boxes of the persons and draws no masks, so the boxes serve as masks. Persons with
        fewer than `MIN_KEYPOINTS` are left out; an image without any other person is rejected.
        """
        size = found.masks.shape[1:]
        sure = (found.keypoints[..., 2] >= threshold) & inside_image(found.keypoints, size)
        persons = replace(found, keypoints=_annotated(found.keypoints, sure), masks=masks_of_boxes(found.boxes, size))
        kept = persons.select(persons.with_keypoints & persons.masks.any(axis=(1, 2)))
        return Acceptance(
            target=kept,
            rejected=None if len(kept) else TOO_FEW_KEYPOINTS,
            scores={"num_objects": float(len(kept)), "num_keypoints": float((kept.keypoints[..., 2] > 0).sum())},
        )


def _annotated(keypoints: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Predicted keypoints (N x 17 x 3) as an annotation: those that are `sure` (bool, N x 17) are visible, the others
    unlabelled, and so are all keypoints of a person with fewer than `MIN_KEYPOINTS` sure ones."""
    sure = sure & (sure.sum(axis=1, keepdims=True) >= MIN_KEYPOINTS)
    labels = np.where(sure[..., None], keypoints, 0)
    labels[sure, 2] = 2
    return labels
