"""Semantic segmentation: a category for every pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.categories import background_labels, labels_named
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap, check_label_count
from datasetdm.tasks.base import Task
from datasetdm.tasks.classes import rule_out
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.outlines import snap_regions
from datasetdm.tasks.word_masks import SURE, WordMasks, query_logits

KNOWN_SHARE = 0.5  # of a cell of the mask features that has to be labelled, or the cell is not learnt


class SemanticTask(Task):
    """Annotations and predictions are `SemanticMap`s.

    Each category in an image is one object of the set loss, the background too, as in Mask2Former (arXiv 2112.01527).
    Ignored pixels are not learnt.

    Raises:
        DatasetDMError: more categories than an 8-bit map can hold, or settings that name unknown ones.
    """

    name: ClassVar[str] = "semantic"
    primary_metric: ClassVar[str] = "miou"
    uses_queries: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.SemanticAnnotation | None = None):
        super().__init__(categories, settings or config.SemanticAnnotation())
        check_label_count(len(self.categories))
        self.tail = labels_named(self.categories, self.settings.tail, setting="tail")
        self._background = background_labels(self.categories)
        self._criterion = SetLoss()

    @property
    def subjects(self) -> tuple[Category, ...]:
        """All but the background, which no prompt can ask for."""
        return tuple(category for label, category in enumerate(self.categories) if label not in self._background)

    @property
    def headline(self) -> tuple[str, ...]:
        """Mean IoU, and that of head and tail if the settings name a tail."""
        return (self.primary_metric, *(("miou_head", "miou_tail") if self.tail else ()))

    @property
    def rare(self) -> tuple[int, ...]:
        """The tail."""
        return tuple(self.tail)

    def encode(self, target: SemanticMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`labels` (int64, N: the categories in the image), `masks` (float16, N x h x w, the share of each category
        in the labelled part of a cell) and `valid` (bool, h x w, whether enough of a cell is labelled).
        """
        values = torch.from_numpy(target.labels)
        known = values != IGNORE
        labels = values[known].unique().long()
        planes = torch.cat([values == labels[:, None, None], known[None]]).float()
        shares = F.interpolate(planes[:, None], size=size, mode="area")[:, 0]
        valid = shares[-1] >= KNOWN_SHARE
        masks = (shares[:-1] / shares[-1].clamp(min=KNOWN_SHARE) * valid).half()
        learnt = masks.flatten(1).any(dim=1)
        return {"masks": masks[learnt], "labels": labels[learnt], "valid": valid}

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """`loss_ce`, `loss_mask` and `loss_dice` of the set loss with the paper's weights (2, 5, 5; no object 0.1)."""
        return self._criterion(outputs, targets)

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """Mask2Former's semantic inference: at each pixel, class probability x mask probability, summed over queries.

        The category with the highest sum wins; its confidence is its share in the sum over all categories. Pixels where
        no category has any probability are `IGNORE`. `allowed` never rules out the background. The score of an image is
        the mean confidence outside the background.
        """
        logits, masks = outputs["pred_logits"].float().cpu(), outputs["pred_masks"].float()
        if allowed is not None:
            logits = rule_out(logits, [[*labels, *self._background] for labels in allowed])
        probabilities = logits.softmax(dim=-1)[..., :-1].to(masks.device)
        return [self._decode_image(*image, size) for image in zip(probabilities, masks, strict=True)]

    def word_outputs(self, found: WordMasks) -> dict[str, Any]:
        """See `Task.word_outputs`: a query for each word; the background gets what the surest word leaves."""
        certainty, labels = found.certainty(), found.labels.to(found.masks.device).expand(found.asked.shape)
        logits, masks = query_logits(certainty, labels, len(self.categories)), found.masks.float()
        if not self._background:
            return {"pred_logits": logits, "pred_masks": masks}
        left = 1 - (certainty[..., None, None] * masks.sigmoid()).amax(dim=1, keepdim=True)
        everywhere = torch.full_like(certainty[:, :1], 1 - SURE)
        background = query_logits(everywhere, torch.full_like(labels[:, :1], self._background[0]), len(self.categories))
        return {
            "pred_logits": torch.cat([logits, background], dim=1),
            "pred_masks": torch.cat([masks, left.clamp(SURE, 1 - SURE).logit()], dim=1),
        }

    def _decode_image(self, probabilities: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> Prediction:
        """The map of one image, from Q x classes probabilities and Q x h x w mask logits."""
        inside = F.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)[0].sigmoid()
        return self._best_category(torch.einsum("qc,qhw->chw", probabilities, inside))

    def _best_category(self, scores: torch.Tensor) -> Prediction:
        """The map of one image, from categories x height x width scores."""
        total = scores.sum(dim=0)
        best, labels = scores.max(dim=0)
        known = total > 0
        confidence = torch.where(known, best / total, 0).cpu().numpy()
        found = torch.where(known, labels, IGNORE).to(torch.uint8).cpu().numpy()
        target = SemanticMap(labels=found, confidence=confidence)
        return Prediction(target=target, score=self.score(target))

    def refine(self, prediction: Prediction, image: np.ndarray) -> Prediction:
        """See `Task.refine`: with `outlines: grabcut` regions follow the edges in the image (`snap_regions`).

        The decoder left at most the rest of its confidence in the old label for the new one.
        """
        if self.settings.outlines == "decoder":
            return prediction
        found: SemanticMap = prediction.target
        labels = snap_regions(found.labels, image, next(iter(self._background), None), IGNORE)
        rest = np.where(found.labels == IGNORE, 0, 1 - found.confidence)
        confidence = np.where(labels == found.labels, found.confidence, rest)
        snapped = SemanticMap(labels=labels, confidence=confidence)
        return replace(prediction, target=snapped, score=self.score(snapped))

    def score(self, target: SemanticMap) -> float:
        """The mean confidence outside the background, 0 if there is nothing but that."""
        covered = ~np.isin(target.labels, [IGNORE, *self._background])
        return float(target.confidence[covered].mean()) if covered.any() else 0.0
