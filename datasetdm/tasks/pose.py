"""Pose estimation: the 17 keypoints of every person (COCO's person keypoints)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import FLIP_PAIRS, KEYPOINTS, Persons
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.datasets.standard.coco_keypoints import (
    CocoKeypointSplit,
    inside,
    load_coco_keypoints,
    save_coco_keypoints,
)
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.keypoints import CocoKeypointEvaluator, MeanPose
from datasetdm.tasks.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Guess, Task, with_categories
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.pose_drawing import draw_persons
from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks, heatmap_loss, to_cells

SIGMA = 2.0  # of the Gaussians, in cells of the decoder's maps
KEYPOINT_WEIGHT = 100.0  # beside the set loss's 2, 5 and 5: peaks fill so little of a map that less leaves it flat
REACH = 0.1  # how far a keypoint may lie from its person's visible pixels, as a share of the mask's square root
KEYPOINT_SCORE = 0.3  # a peak below this is no keypoint that an annotation should hold
MIN_KEYPOINTS = 4  # a synthetic person with fewer stays in the annotation, but without keypoints


class PoseTask(Task):
    """Persons as `Persons`: the target of a sample and what is predicted for it.

    The P-Decoder's queries find the persons, as in the `instance` task; its dense head draws one heatmap per kind
    of keypoint (paper section 3.2) for all persons together. The keypoints of a person are the peaks within reach
    of its mask, so that an image may hold any number of persons.

    Args:
        categories: "person" alone.
        settings: nothing is left open.
    """

    name: ClassVar[str] = "pose"
    primary_metric: ClassVar[str] = "keypoint_ap"
    uses_queries: ClassVar[bool] = True
    dense_channels: ClassVar[int] = len(KEYPOINTS)
    takes_hints: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.PoseAnnotation | None = None):
        super().__init__(categories, settings or config.PoseAnnotation())
        if len(self.categories) != 1:
            raise DatasetDMError(
                f"The task 'pose' has one category, persons, not {len(self.categories)}: set source.format in "
                "params.yaml to a data set with keypoints, such as coco_pose."
            )
        self._objects = InstanceTask(categories)

    def hint(self, target: Persons) -> np.ndarray:
        """The true boxes (float32, N x 4: x, y, width, height) of the persons with a labelled keypoint, crowds aside.

        The downstream model is a top-down one and is judged with true boxes, as the field does where persons are
        not to be found as well: its figures are those of pose alone.
        """
        return target.boxes[_labelled(target)].astype(np.float32)

    # --- files

    def load(self, folder: Path, subset: str) -> CocoKeypointSplit:
        """The samples of `<folder>/annotations/<subset>.json` with images in `<folder>/images/`."""
        split = load_coco_keypoints(folder / "annotations" / f"{subset}.json", folder / "images")
        return with_categories(split, self.categories)

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write COCO JSON with keypoints and run-length encoded masks, and the images that are not there yet."""
        save_coco_keypoints(folder / "annotations" / f"{subset}.json", folder / "images", samples, self.categories)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Read all of a subset; counts of `images`, `persons` (crowds aside) and labelled `keypoints`.

        Beside what the loader refuses, a labelled keypoint outside its image is a DatasetDMError here.
        """
        split = self.load(folder, subset)
        counts = {"images": 0, "persons": 0, "keypoints": 0}
        for index in range(len(split)):
            sample = split.compact(index)
            for rejection in split.rejections_of(index):
                raise DatasetDMError(
                    f"{split.annotation_file}: annotation {rejection.annotation_id} of {sample.name}: "
                    f"{rejection.reason}. Make it again."
                )
            counts["images"] += 1
            counts["persons"] += int((~sample.target.crowd).sum())
            counts["keypoints"] += int((sample.target.keypoints[..., 2] > 0).sum())
        return counts

    # --- geometry

    def warp(self, target: Persons, matrix: np.ndarray, size: tuple[int, int]) -> Persons:
        """See `Task.warp`; persons without a pixel left are dropped, keypoints that leave become unlabelled.

        Where the matrix mirrors, left and right change places. A box that the border cuts shrinks to what is left
        of the mask.
        """
        moved = self._objects.warp(_numbered(target), matrix, size)
        persons = target.select(moved.labels)
        return replace(
            persons,
            keypoints=move_keypoints(persons.keypoints, matrix, size),
            boxes=_move_boxes(persons.boxes, moved.masks, matrix, size),
            masks=moved.masks,
        )

    def merge(self, targets: Sequence[Persons]) -> Persons:
        """All persons of the parts, in their order."""
        names = ("keypoints", "boxes", "masks", "scores", "crowd")
        return Persons(**{name: np.concatenate([getattr(target, name) for target in targets]) for name in names})

    # --- learning

    def encode(self, target: Persons, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`masks` and `labels` as for instances; `heatmaps` (float16, 17 x h x w) and `known` (bool, the same shape).

        A heatmap is the highest of all persons' Gaussians. Where a person may have a keypoint that nobody labelled,
        and in crowds, nothing is known.
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
        known |= heatmaps > 0.1  # a neighbour's labelled keypoint is known all the same
        return {
            **self._objects.encode(_numbered(target, label=0), size),
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

        A keypoint's score is the height of its peak; the mean is over those that an annotation would hold.
        """
        heatmaps = outputs["dense"].float().cpu().numpy()
        found = self._objects.decode(outputs, size, allowed)
        return [_read(maps, objects.target) for maps, objects in zip(heatmaps, found, strict=True)]

    # --- judging

    def accept(
        self, prediction: Prediction, settings: config.Synthesis, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """Persons above `score_threshold` and `min_area`, `max_instances` at the most, with masks made disjoint.

        Peaks above `KEYPOINT_SCORE` become visible keypoints (2), the others unlabelled (0). Persons with fewer
        than `MIN_KEYPOINTS` stay without keypoints, as COCO has its small ones; an image of such alone is rejected,
        and with `require_prompted` one that has another number of persons than its prompt asks for.
        """
        found: Persons = prediction.target
        kept = self._objects.accept(Prediction(target=_numbered(found), score=prediction.score), settings)
        persons = found.select(kept.target.labels)
        keypoints = _labels_of(persons.keypoints, persons.keypoints[..., 2] >= KEYPOINT_SCORE)
        rejected = kept.rejected
        if rejected is None and settings.require_prompted and {*asked.values()} - {None, len(persons)}:
            rejected = NOT_FOUND
        if rejected is None and not keypoints.any():
            rejected = "no person with enough keypoints"
        return Acceptance(
            target=replace(
                persons, keypoints=keypoints, masks=kept.target.masks, boxes=boxes_of_masks(kept.target.masks)
            ),
            rejected=rejected,
            scores={**kept.scores, "num_keypoints": float((keypoints[..., 2] > 0).sum())},
        )

    def trusted(self, found: Persons, threshold: float, settings: config.Synthesis) -> Acceptance:
        """See `Task.trusted`; keypoints below `threshold` or outside the image become unlabelled.

        A top-down model is told where the persons are and draws no mask: their boxes stand for it. Persons with fewer
        than `MIN_KEYPOINTS` are left out, and an image without any other is rejected.
        """
        size = found.masks.shape[1:]
        sure = (found.keypoints[..., 2] >= threshold) & inside(found.keypoints, size)
        persons = replace(found, keypoints=_labels_of(found.keypoints, sure), masks=_masks_of_boxes(found.boxes, size))
        kept = persons.select(_labelled(persons) & persons.masks.any(axis=(1, 2)))
        return Acceptance(
            target=kept,
            rejected=None if len(kept) else "no person with enough keypoints",
            scores={"num_objects": float(len(kept)), "num_keypoints": float((kept.keypoints[..., 2] > 0).sum())},
        )

    def evaluator(self) -> CocoKeypointEvaluator:
        """COCO's keypoint AP."""
        return CocoKeypointEvaluator()

    def baseline(self, targets: Iterable[Persons]) -> Guess:
        """The mean pose, stretched into each box."""
        mean = MeanPose.fit(targets)
        return lambda size, boxes: mean.predict(boxes)

    def draw(self, image: np.ndarray, target: Persons) -> np.ndarray:
        """Skeletons over light masks, on an enlarged picture where the image is small."""
        return draw_persons(image, target, KEYPOINT_SCORE)


def move_keypoints(keypoints: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Keypoints (N x 17 x 3) under a 2 x 3 map into an image of (height, width).

    Where the map mirrors (its determinant is negative), left and right change places. Keypoints that are
    unlabelled or leave the image become (0, 0, 0).
    """
    moved = keypoints.copy()
    moved[..., :2] = keypoints[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    moved[(keypoints[..., 2] == 0) | ~inside(moved, size)] = 0
    if np.linalg.det(matrix[:, :2]) < 0:
        left, right = map(list, zip(*FLIP_PAIRS, strict=True))
        moved[:, left + right] = moved[:, right + left]
    return moved


def boxes_of_masks(masks: np.ndarray) -> np.ndarray:
    """Tight boxes (float32, N x 4: x, y, width, height) of masks of at least a pixel each (bool, N x H x W)."""
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]
    return np.array(boxes, dtype=np.float32).reshape(len(masks), 4)


def _masks_of_boxes(boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The pixels (bool, N x H x W) of an image of (height, width) whose centres lie in each box."""
    left, top, width, height = boxes.T[..., None, None]
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    return (columns > left) & (columns < left + width) & (rows > top) & (rows < top + height)


def _labels_of(keypoints: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Predicted keypoints (N x 17 x 3) as an annotation: those that are `sure` (bool, N x 17) visible, the others
    unlabelled; all of a person with fewer than `MIN_KEYPOINTS` of them."""
    sure = sure & (sure.sum(axis=1, keepdims=True) >= MIN_KEYPOINTS)
    labels = np.where(sure[..., None], keypoints, 0)
    labels[sure, 2] = 2
    return labels


def _labelled(persons: Persons) -> np.ndarray:
    return ~persons.crowd & (persons.keypoints[..., 2] > 0).any(axis=1)


def _numbered(persons: Persons, label: int | None = None) -> Instances:
    """The persons as objects that carry their own number as label, by which they are found again, or one label."""
    labels = np.arange(len(persons)) if label is None else np.full(len(persons), label)
    return Instances(masks=persons.masks, labels=labels, scores=persons.scores, crowd=persons.crowd)


def _move_boxes(boxes: np.ndarray, masks: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes under a map; those that it turns or that reach out of the image are taken anew of the moved masks."""
    first, second = boxes[:, :2] - 0.5, boxes[:, :2] + boxes[:, 2:] - 0.5  # edges, in coordinates of pixel centres
    corners = np.stack([first, second]) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    low, high = corners.min(axis=0), corners.max(axis=0)
    whole = ((low > -0.01) & (high < np.array(size[::-1]) + 0.01)).all(axis=1)
    whole &= not matrix[0, 1] and not matrix[1, 0]
    moved = np.concatenate([low, high - low], axis=1)
    return np.where(whole[:, None], moved, boxes_of_masks(masks)).astype(np.float32)


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


def _read(heatmaps: np.ndarray, found: Instances) -> Prediction:
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
