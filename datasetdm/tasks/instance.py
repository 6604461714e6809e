"""Instance segmentation: a mask and a category for every object."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.tasks.base import Task
from datasetdm.tasks.classes import rule_out
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.outlines import snap_to_edges
from datasetdm.tasks.word_masks import WordMasks, separate

LOWEST_SCORE = 0.05  # predictions below it are dropped
DUPLICATE_IOU = 0.7  # two queries whose masks agree this much mean the same object, whatever its class


class InstanceTask(Task):
    """Annotations and predictions are `Instances`."""

    name: ClassVar[str] = "instance"
    primary_metric: ClassVar[str] = "mask_ap"
    uses_queries: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.InstanceAnnotation | None = None):
        super().__init__(categories, settings or config.InstanceAnnotation())
        self._criterion = SetLoss()

    def encode(self, target: Instances, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`masks` (float16, N x h x w, the share of each cell that is covered) and `labels` (int64), without crowds.

        If there are crowds, also `ignored` (bool, h x w): the cells of which half or more is crowd.
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

        Masks may overlap, which average precision allows; the filter makes them disjoint. Duplicates are removed.
        Masks are enlarged and compared where they are, on the GPU if there is one; only those that are kept leave it.
        """
        logits, masks = outputs["pred_logits"].float().cpu(), outputs["pred_masks"].float()
        if allowed is not None:
            logits = rule_out(logits, allowed)
        probabilities = logits.softmax(dim=-1)[..., :-1]
        return [_decode_image(*image, size) for image in zip(probabilities, masks, strict=True)]

    def word_outputs(self, found: WordMasks) -> dict[str, Any]:
        """See `Task.word_outputs`: each connected part of a word's mask is an object."""
        return separate(found, len(self.categories))

    def score(self, target: Instances) -> float:
        """The mean score of the objects, 0 if there is none."""
        return float(target.scores.mean()) if len(target) else 0.0

    def join(self, readings: Sequence[Prediction]) -> Prediction:
        """See `Task.join`; as in `decode`, duplicates and objects of low score are left out."""
        joined: Instances = super().join(readings).target
        likely = joined.select(joined.scores >= LOWEST_SCORE)
        distinct = likely.select(_distinct(torch.from_numpy(likely.masks)))
        return Prediction(target=distinct, score=self.score(distinct))

    def refine(self, prediction: Prediction, image: np.ndarray) -> Prediction:
        """See `Task.refine`: with `outlines: grabcut` masks follow the edges in the image (`snap_to_edges`).

        A score is multiplied by the IoU of the mask before and after: if the edges do not agree with the mask, it is
        less likely to be an object.
        """
        found: Instances = prediction.target
        if self.settings.outlines == "decoder" or not len(found):
            return prediction
        masks = np.stack([snap_to_edges(mask, image, self.settings.outline_rounds) for mask in found.masks])
        agreement = (masks & found.masks).sum(axis=(1, 2)) / (masks | found.masks).sum(axis=(1, 2))
        snapped = replace(found, masks=masks, scores=(found.scores * agreement).astype(np.float32))
        snapped = snapped.select(np.argsort(-snapped.scores, kind="stable"))
        snapped = snapped.select(_distinct(torch.from_numpy(snapped.masks)))
        return replace(prediction, target=snapped, score=self.score(snapped))


def _decode_image(probabilities: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> Prediction:
    """The objects of one image, from Q x classes probabilities on the CPU and Q x h x w mask logits on any device."""
    class_scores, labels = probabilities.max(dim=-1)
    likely = class_scores >= LOWEST_SCORE
    if not likely.any():
        return Prediction(target=Instances.empty(*size), score=0.0)
    class_scores, labels, masks = class_scores[likely], labels[likely], masks[likely.to(masks.device)]
    inside = F.interpolate(masks[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].sigmoid()
    covered = inside > 0.5
    sureness = (inside * covered).sum(dim=(1, 2)) / covered.sum(dim=(1, 2)).clamp(min=1)
    scores = class_scores * sureness.cpu()
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] >= LOWEST_SCORE]
    covered = covered[order.to(masks.device)]
    kept = _distinct(covered)
    order, covered = order[kept], covered[torch.from_numpy(kept).to(masks.device)]
    found = Instances.of(covered.cpu().numpy(), labels[order].numpy(), scores[order].numpy())
    return Prediction(target=found, score=float(found.scores.mean()) if len(found) else 0.0)


def _distinct(masks: torch.Tensor) -> np.ndarray:
    """Indices (int64) of the masks (bool, N x H x W, best first) that do not duplicate a better one."""
    flat = masks.flatten(1).float()
    overlap, areas = flat @ flat.T, flat.sum(dim=1)
    iou = (overlap / (areas[:, None] + areas[None] - overlap).clamp(min=1)).cpu().numpy()
    kept: list[int] = []
    for index in range(len(masks)):
        if not kept or iou[index, kept].max() < DUPLICATE_IOU:
            kept.append(index)
    return np.array(kept, dtype=np.int64)
