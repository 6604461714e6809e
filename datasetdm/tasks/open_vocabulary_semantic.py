"""Open-vocabulary semantic segmentation: the decoder is asked for one category at a time, by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.categories import labels_named
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.tasks.losses.questions import pair_questions
from datasetdm.tasks.semantic import SemanticTask
from datasetdm.tasks.vocabulary import Vocabulary
from datasetdm.tasks.word_masks import WordMasks, query_logits

HIDING_PLACE = 1 / 16  # of the image's side: an unlabelled square of this size may hide any class


class OpenVocabularySemanticTask(SemanticTask):
    """Semantic segmentation with categories that training never sees (paper section 3.2).

    The decoder is asked for each category but the background, which is where it finds none of them. Training sees the
    unseen categories as `IGNORE`.

    Args:
        categories: in label order.
        settings: `unseen` names at least one category.

    Raises:
        DatasetDMError: as `SemanticTask`.
    """

    def __init__(self, categories: Sequence[Category], settings: config.SemanticAnnotation):
        super().__init__(categories, settings)
        self.unseen = labels_named(self.categories, settings.unseen, setting="unseen")

    @property
    def vocabulary(self) -> Vocabulary:
        """All categories but the background."""
        labels = tuple(label for label in range(len(self.categories)) if label not in self._background)
        return Vocabulary(
            words=tuple(self.words[label].noun for label in labels),
            labels=labels,
            seen=tuple(label for label in labels if label not in self.unseen),
        )

    @property
    def headline(self) -> tuple[str, ...]:
        """Mean IoU, that of seen and unseen categories with their harmonic mean, and that of head and tail."""
        primary, *others = super().headline
        return (primary, "miou_seen", "miou_unseen", "miou_harmonic", *others)

    def shown(self, target: SemanticMap) -> SemanticMap:
        """The map with `IGNORE` where a category is unseen."""
        hidden = np.isin(target.labels, self.unseen)
        return replace(target, labels=np.where(hidden, IGNORE, target.labels).astype(np.uint8))

    def encode(self, target: SemanticMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """As `SemanticTask.encode`, without the unseen categories, whatever the annotation says.

        Also `doubtful` (bool, one per category): not among the `labels`, but possibly in the part of the image that is
        not labelled.
        """
        visible = self.shown(target)
        encoded = super().encode(visible, size)
        present = torch.tensor(visible.category_labels(), dtype=torch.long)
        return {**encoded, "doubtful": self._doubtful(present, encoded["labels"], encoded["valid"])}

    def _doubtful(self, present: torch.Tensor, learnt: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        side = max(1, round(HIDING_PLACE * min(valid.shape)))
        hidden = (F.max_pool2d(valid[None].float(), side, stride=1) == 0).any()
        doubtful = hidden.repeat(len(self.categories))
        doubtful[present] = True  # too little of it to be learnt
        doubtful[learnt] = False
        return doubtful

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The terms of `SemanticTask.loss`, where each question with a known answer counts as an image."""
        answers, truths = pair_questions(outputs, targets)
        if truths:
            return self._criterion(answers, truths)
        nothing = answers["pred_logits"].sum()
        return dict.fromkeys(("loss_ce", "loss_mask", "loss_dice"), nothing)

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """As `SemanticTask.decode`, with other probabilities.

        The probability of a category at a pixel is that of its best query. The background gets what the best category
        leaves, so it wins where no category reaches one half.
        """
        return [self._best_category(scores) for scores in self._scores(outputs, size, allowed)]

    def word_outputs(self, found: WordMasks) -> dict[str, Any]:
        """See `Task.word_outputs`: the answers to a question for each word that was looked for."""
        images, entries = found.asked.nonzero(as_tuple=True)
        certainty = found.certainty()[images, entries][:, None]
        return {
            "images": images.cpu(),
            "labels": found.labels[entries.cpu()],
            "batch_size": len(found.asked),
            "pred_logits": query_logits(certainty, torch.zeros_like(certainty, dtype=torch.long), 1),
            "pred_masks": found.masks[images, entries][:, None],
        }

    def _scores(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None
    ) -> Iterator[torch.Tensor]:
        """For each image the probabilities (categories x height x width), from the answers to its questions."""
        masks = outputs["pred_masks"]
        for image in range(outputs["batch_size"]):
            asked = outputs["images"] == image
            if allowed is not None:
                asked &= torch.isin(outputs["labels"], torch.tensor(list(allowed[image]), dtype=torch.long))
            rows = asked.nonzero()[:, 0].to(masks.device)
            likely = outputs["pred_logits"][rows].float().softmax(dim=-1)[..., 0, None, None]
            planes = masks.new_zeros((len(self.categories), *masks.shape[-2:]), dtype=torch.float32)
            planes[outputs["labels"][asked].to(masks.device)] = (likely * masks[rows].float().sigmoid()).amax(dim=1)
            scores = F.interpolate(planes[None], size=size, mode="bilinear", align_corners=False)[0]
            scores[self._background] = 1 - scores.amax(dim=0)
            yield scores


def semantic_task(categories: Sequence[Category], settings: config.SemanticAnnotation) -> SemanticTask:
    """Semantic segmentation; with an open vocabulary if the settings name unseen categories."""
    kind = OpenVocabularySemanticTask if settings.unseen else SemanticTask
    return kind(categories, settings)
