"""Instance segmentation: a mask and a category for every object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.datasets.standard.coco import CocoSplit, load_coco, save_coco
from datasetdm.evaluation.coco import CocoMaskEvaluator
from datasetdm.tasks.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Task, some_of, with_categories
from datasetdm.tasks.drawing import draw_masks
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.outlines import snap_to_edges

OTHER_NUMBER = "another number of objects than the prompt asks for"
DOUBTFUL = "an object of doubtful score"
LOWEST_SCORE = 0.05  # what is less likely is no object to anyone and is not kept
VISIBLE_SHARE = 0.1  # of an object that has to be left when others are pasted over it
UNCLAIMED_SHARE = 0.8  # of an object that likelier ones leave to it, or it is taken for a part of them (as Mask2Former)
DUPLICATE_IOU = 0.7  # two queries that agree this much mean the same object, whatever they call it


class InstanceTask(Task):
    """Objects as `Instances`: the target of a sample and what is predicted for it."""

    name: ClassVar[str] = "instance"
    primary_metric: ClassVar[str] = "mask_ap"
    uses_queries: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.InstanceAnnotation | None = None):
        super().__init__(categories, settings or config.InstanceAnnotation())
        self._criterion = SetLoss()

    def labels_in(self, target: Instances) -> tuple[int, ...]:
        """See `Task.labels_in`."""
        return tuple(target.labels[~target.crowd].tolist())

    # --- files

    def load(self, folder: Path, subset: str) -> CocoSplit:
        """The samples of `<folder>/annotations/<subset>.json` with images in `<folder>/images/`."""
        return with_categories(load_coco(folder / "annotations" / f"{subset}.json", folder / "images"), self.categories)

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write COCO JSON with run-length encoded masks, and the images that are not there yet."""
        save_coco(folder / "annotations" / f"{subset}.json", folder / "images", samples, self.categories)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Read all of a subset, its masks without laying them out; counts of `images` and `objects` (crowds aside).

        The loader refuses ids used twice, masks outside their image, and images that are missing, damaged or
        of another size than their record.
        """
        split = self.load(folder, subset)
        counts = {"images": 0, "objects": 0}
        for index in range(len(split)):
            target = split.compact(index).target
            counts["images"] += 1
            counts["objects"] += int((~target.crowd).sum())
        return counts

    # --- geometry

    def warp(self, target: Instances, matrix: np.ndarray, size: tuple[int, int]) -> Instances:
        """See `Task.warp`; objects without a pixel left are dropped (what was judged stays: they are absent now)."""
        height, width = size
        masks = np.zeros((len(target), height, width), dtype=bool)
        for warped, mask in zip(masks, target.masks, strict=True):
            warped[:] = cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
        return replace(target, masks=masks).select(np.flatnonzero(masks.any(axis=(1, 2))))

    def merge(self, targets: Sequence[Instances]) -> Instances:
        """All objects of the parts, in their order; judged is what was judged in every part."""
        judged, not_exhaustive = _judged_together(targets)
        return Instances(
            masks=np.concatenate([target.masks for target in targets]),
            labels=np.concatenate([target.labels for target in targets]),
            scores=np.concatenate([target.scores for target in targets]),
            crowd=np.concatenate([target.crowd for target in targets]),
            judged=judged,
            not_exhaustive=not_exhaustive,
        )

    def pasted(
        self, target: Instances, source: Instances, rng: np.random.Generator
    ) -> tuple[np.ndarray, Instances] | None:
        """See `Task.pasted`; objects of which less than a tenth is left to see are gone."""
        objects = source.select(np.flatnonzero(~source.crowd))
        if not len(objects):
            return None
        objects = objects.select(some_of(len(objects), rng))
        region = np.asarray(objects.masks.any(axis=0))
        left = replace(target, masks=target.masks & ~region)
        seen = left.masks.sum(axis=(1, 2)) > VISIBLE_SHARE * target.masks.sum(axis=(1, 2))
        return region, self.merge([left.select(np.flatnonzero(seen)), objects])

    # --- learning

    def encode(self, target: Instances, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`masks` (float16, N x h x w, the share of each cell that is covered) and `labels` (int64), no crowds.

        Where there are crowds, `ignored` (bool, h x w): the cells that lie in them by half or more.
        """
        ignored = {}
        if target.crowd.any():
            crowds = torch.from_numpy(target.masks[target.crowd].any(axis=0)).to(torch.float32)
            ignored["ignored"] = F.interpolate(crowds[None, None], size=size, mode="area")[0, 0] >= 0.5
            target = target.select(~target.crowd)
        masks = torch.from_numpy(target.masks).to(torch.float32)
        if len(masks):
            masks = F.interpolate(masks[:, None], size=size, mode="area")[:, 0]
        else:
            masks = masks.new_zeros((0, *size))
        return {"masks": masks.half(), "labels": torch.from_numpy(target.labels), **ignored}

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """`loss_ce`, `loss_mask` and `loss_dice` of the set loss with the paper's weights (2, 5, 5; no object 0.1)."""
        return self._criterion(outputs, targets)

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """One object per query, best first: score = class probability x mean mask probability (as in the paper).

        Masks may overlap here, which average precision does not mind; `accept` resolves that. Duplicates are
        suppressed.
        """
        logits, masks = outputs["pred_logits"].float().cpu(), outputs["pred_masks"].float().cpu()
        if allowed is not None:
            logits = rule_out(logits, allowed)
        probabilities = logits.softmax(dim=-1)[..., :-1]
        return [_read(*image, size) for image in zip(probabilities, masks, strict=True)]

    def refine(self, prediction: Prediction, image: np.ndarray) -> Prediction:
        """See `Task.refine`: with `outlines: grabcut` masks follow the picture's edges (`snap_to_edges`).

        A score is multiplied with the IoU of the mask before and after, as an object whose outline the picture does
        not bear out is less likely to be one.
        """
        found: Instances = prediction.target
        if self.settings.outlines == "decoder" or not len(found):
            return prediction
        masks = np.stack([snap_to_edges(mask, image) for mask in found.masks])
        agreement = (masks & found.masks).sum(axis=(1, 2)) / (masks | found.masks).sum(axis=(1, 2))
        snapped = replace(found, masks=masks, scores=(found.scores * agreement).astype(np.float32))
        snapped = snapped.select(np.argsort(-snapped.scores, kind="stable"))
        snapped = snapped.select(_distinct(snapped.masks))
        return Prediction(target=snapped, score=float(snapped.scores.mean()))

    # --- judging

    def accept(
        self, prediction: Prediction, settings: config.Synthesis, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Task.accept`: objects above `score_threshold` and `min_area`, `max_instances` at the most, disjoint.

        An annotation holds the visible pixels of each object: where two claim a pixel, the likelier has it.
        """
        found: Instances = prediction.target
        likely = found.select(np.flatnonzero(found.scores >= settings.score_threshold)[: settings.max_instances])
        smallest = settings.min_area * found.masks.shape[1] * found.masks.shape[2]
        apart = _disjoint(likely)
        kept = apart.select(apart.masks.sum(axis=(1, 2)) >= max(smallest, 1))
        rejected = None
        if not len(likely):
            rejected = "no object above the score threshold"
        elif not len(kept):
            rejected = "no object above the minimum area"
        elif settings.require_prompted and not {*asked} <= {*kept.labels.tolist()}:
            rejected = NOT_FOUND
        elif settings.require_prompted and not _as_many(kept.labels, asked):
            rejected = OTHER_NUMBER
        elif settings.doubt_threshold is not None and _any_between(
            found.scores, settings.doubt_threshold, settings.score_threshold
        ):
            rejected = DOUBTFUL
        return Acceptance(
            target=kept,
            rejected=rejected,
            scores={
                "num_objects": float(len(kept)),
                "score": float(kept.scores.mean()) if len(kept) else 0.0,
                "best_score": float(found.scores.max(initial=0.0)),
                "covered_area": float(kept.masks.any(axis=0).mean()),
            },
        )

    def evaluator(self) -> CocoMaskEvaluator:
        """COCO's mask AP, or LVIS's where the annotation is federated."""
        return CocoMaskEvaluator(self.categories)

    def draw(self, image: np.ndarray, target: Instances) -> np.ndarray:
        """Coloured masks with category and score, on an enlarged picture where the image is small."""
        texts = [
            self.categories[label].name + (f" {score:.2f}" if score < 1 else "")
            for label, score in zip(target.labels, target.scores, strict=True)
        ]
        return draw_masks(image, target.masks, texts)


def _as_many(labels: np.ndarray, asked: Mapping[int, int | None]) -> bool:
    """Whether there are as many objects of each label as are asked for."""
    return all(count is None or (labels == label).sum() == count for label, count in asked.items())


def _any_between(scores: np.ndarray, lowest: float, below: float) -> bool:
    return bool(((scores >= lowest) & (scores < below)).any())


def rule_out(logits: torch.Tensor, allowed: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (B x Q x classes + 1) with minus infinity for the classes that are not allowed."""
    ruled_out = torch.ones(len(logits), 1, logits.shape[-1], dtype=torch.bool)
    ruled_out[..., -1] = False
    for image, labels in zip(ruled_out, allowed, strict=True):
        image[0, list(labels)] = False
    return logits.masked_fill(ruled_out, -torch.inf)


def _read(probabilities: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> Prediction:
    """The objects of one image, of Q x classes probabilities and Q x h x w mask logits."""
    class_scores, labels = probabilities.max(dim=-1)
    likely = class_scores >= LOWEST_SCORE
    class_scores, labels, masks = class_scores[likely], labels[likely], masks[likely]
    if not len(masks):
        return Prediction(target=Instances.empty(*size), score=0.0)
    inside = F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].sigmoid()
    covered = inside > 0.5
    scores = class_scores * (inside * covered).sum(dim=(1, 2)) / covered.sum(dim=(1, 2)).clamp(min=1)
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] >= LOWEST_SCORE]
    found = Instances.of(covered[order].numpy(), labels[order].numpy(), scores[order].numpy())
    found = found.select(_distinct(found.masks))
    return Prediction(target=found, score=float(found.scores.mean()) if len(found) else 0.0)


def _distinct(masks: np.ndarray) -> np.ndarray:
    """Indices of the masks (best first) that are no duplicates of a better one."""
    flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32)
    overlap, areas = flat @ flat.T, flat.sum(axis=1)
    iou = overlap / np.maximum(areas[:, None] + areas[None] - overlap, 1)
    kept: list[int] = []
    for index in range(len(masks)):
        if not kept or iou[index, kept].max() < DUPLICATE_IOU:
            kept.append(index)
    return np.array(kept, dtype=np.int64)


def _disjoint(found: Instances) -> Instances:
    """The objects (best first) made disjoint: a pixel belongs to the first that has it.

    One that would lose much to likelier ones is dropped, as it most often is another view of the same object.
    """
    free = np.ones(found.masks.shape[1:], dtype=bool)
    kept, masks = [], []
    for index, mask in enumerate(found.masks):
        left = mask & free
        if left.sum() >= max(1, UNCLAIMED_SHARE * mask.sum()):
            kept.append(index)
            masks.append(left)
            free &= ~mask
    return replace(found.select(np.array(kept, dtype=np.int64)), masks=np.array(masks, bool).reshape(-1, *free.shape))


def _judged_together(targets: Sequence[Instances]) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """`judged` and `not_exhaustive` of the whole: an object that only some parts were searched for may have others."""
    judged_sets = [set(target.judged) for target in targets if target.judged is not None]
    not_exhaustive = {label for target in targets for label in target.not_exhaustive}
    if not judged_sets:
        return None, tuple(sorted(not_exhaustive))
    everywhere = set.intersection(*judged_sets)
    present = {label for target in targets for label in target.labels.tolist()}
    not_exhaustive |= present - everywhere
    return tuple(sorted(everywhere | not_exhaustive)), tuple(sorted(not_exhaustive))
