"""Pose estimation: the 17 keypoints of every person (COCO's person keypoints)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.masks import boxes_of_masks
from datasetdm.annotations.persons import KEYPOINT_SCORE, KEYPOINTS, Persons
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks, heatmap_loss, to_cells

SIGMA = 2.0  # of the Gaussians, in cells of the decoder's maps
KEYPOINT_WEIGHT = 100.0  # the set loss has 2, 5 and 5; peaks fill so little of a map that a lower weight leaves it flat
REACH = 0.1  # how far a keypoint may lie from its person's visible pixels, as a share of the mask's square root


class PoseTask(Task):
    """Annotations and predictions are `Persons`.

    The P-Decoder's queries find the persons, as in the `instance` task; its dense head predicts one heatmap per kind
    of keypoint (paper section 3.2) for all persons together. The keypoints of a person are the peaks within reach
    of its mask, so an image may hold any number of persons.

    Args:
        categories: "person" alone.
        settings: there is nothing to set.
    """

    name: ClassVar[str] = "pose"
    primary_metric: ClassVar[str] = "keypoint_ap"
    uses_queries: ClassVar[bool] = True
    dense_channels: ClassVar[int] = len(KEYPOINTS)
    uses_prompt_boxes: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.PoseAnnotation | None = None):
        super().__init__(categories, settings or config.PoseAnnotation())
        if len(self.categories) != 1:
            raise DatasetDMError(
                f"The task 'pose' has one category, persons, not {len(self.categories)}: set source.format in "
                "params.yaml to a data set with keypoints, such as coco_pose."
            )
        self._objects = InstanceTask(categories)

    def prompt_boxes(self, target: Persons) -> np.ndarray:
        """The true boxes of the persons with a labelled keypoint, crowds left out.

        The downstream model is a top-down one and is evaluated with true boxes, as is usual if the person detector is
        not part of the evaluation: the figures are those of pose alone.
        """
        return target.boxes[target.with_keypoints].astype(np.float32)

    def encode(self, target: Persons, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`masks` and `labels` as for instances; `heatmaps` (float16, 17 x h x w) and `known` (bool, the same shape).

        A heatmap is the maximum of all persons' Gaussians. Nothing is known in crowds, and where a person may have a
        keypoint that nobody labelled.
        """
        height, width = target.masks.shape[1:]
        persons = target.select(np.flatnonzero(~target.crowd))
        points = to_cells(persons.keypoints[..., :2], (height, width), size)
        bells = draw_gaussians(points, size, SIGMA) * (persons.keypoints[..., 2] > 0)[..., None, None]
        heatmaps = bells.max(axis=0, initial=0)
        known = np.ones((self.dense_channels, *size), dtype=bool)
        for keypoints, box in zip(persons.keypoints, persons.boxes, strict=True):
            rows, columns = _cells_around(box, (height, width), size)
            known[keypoints[:, 2] == 0, rows, columns] = False
        for mask in target.masks[target.crowd]:
            known &= ~_grown(_shrunk(mask, size), 2 * SIGMA)
        known |= heatmaps > 0.1  # a neighbour's labelled keypoint is known even there
        return {
            **self._objects.encode(target.as_instances(), size),
            "heatmaps": torch.from_numpy(heatmaps).half(),
            "known": torch.from_numpy(known),
        }

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The terms of the set loss for the persons, and `loss_keypoint`, the squared error of the known heatmaps."""
        heatmaps = outputs["dense"]
        truth = torch.stack([target["heatmaps"] for target in targets]).to(heatmaps)
        known = torch.stack([target["known"] for target in targets]).to(heatmaps)
        return {
            **self._objects.loss(outputs, targets),
            "loss_keypoint": KEYPOINT_WEIGHT * heatmap_loss(heatmaps, truth, known, SIGMA),
        }

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """Persons, best first: score = that of the mask (see `InstanceTask.decode`) x mean score of its keypoints.

        A keypoint's score is the height of its peak; the mean is over those that an annotation would keep.
        """
        heatmaps = outputs["dense"].float().cpu().numpy()
        found = self._objects.decode(outputs, size, allowed)
        return [_decode_image(maps, objects.target) for maps, objects in zip(heatmaps, found, strict=True)]

    def score(self, target: Persons) -> float:
        """The mean score of the persons, 0 if there is none."""
        return float(target.scores.mean()) if len(target) else 0.0


def _cells_around(box: np.ndarray, size: tuple[int, int], cells: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the grid that a box covers, with a margin for the width of a Gaussian."""
    corners = np.array([box[:2], box[:2] + box[2:]]) * [cells[1] / size[1], cells[0] / size[0]]
    left, top = np.floor(corners[0] - 2 * SIGMA).clip(0).astype(int)
    right, bottom = np.ceil(corners[1] + 2 * SIGMA).clip(0).astype(int)
    return slice(top, bottom), slice(left, right)


def _shrunk(mask: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """The cells of a grid that a mask touches."""
    return cv2.resize(mask.astype(np.float32), cells[::-1], interpolation=cv2.INTER_AREA) > 0


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _decode_image(heatmaps: np.ndarray, found: Instances) -> Prediction:
    """The found objects of one image with the peaks of its heatmaps (17 x h x w)."""
    size, cells = found.masks.shape[1:], heatmaps.shape[1:]
    masks = [_shrunk(mask, cells) for mask in found.masks]
    keypoints = np.zeros((len(found), len(heatmaps), 3), dtype=np.float32)
    for number, mask in enumerate(masks):
        others = np.any([*masks[:number], *masks[number + 1 :]], axis=0)
        within_reach = mask | (_grown(mask, REACH * np.sqrt(mask.sum())) & ~others)
        points, keypoints[number, :, 2] = find_peaks(heatmaps, within_reach)
        keypoints[number, :, :2] = to_cells(points, cells, size)
    heights = keypoints[..., 2]
    confident = heights >= KEYPOINT_SCORE
    scores = found.scores * (heights * confident).sum(axis=1) / np.maximum(confident.sum(axis=1), 1)
    order = np.argsort(-scores, kind="stable")
    persons = Persons(
        keypoints=keypoints,
        boxes=boxes_of_masks(found.masks),
        masks=found.masks,
        scores=scores.astype(np.float32),
        crowd=found.crowd,
    ).select(order)
    return Prediction(target=persons, score=float(persons.scores.mean()) if len(persons) else 0.0)
