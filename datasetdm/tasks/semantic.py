"""Semantic segmentation: a category for every pixel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.standard.maps import MapSplit, load_maps, save_maps
from datasetdm.datasets.standard.semantic_png import BACKGROUND, SEMANTIC_PNG
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.semantic import MajorityMap, SemanticEvaluator
from datasetdm.tasks.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Guess, Task, some_of, with_categories
from datasetdm.tasks.drawing import draw_labels
from datasetdm.tasks.instance import rule_out
from datasetdm.tasks.losses.questions import pair_questions
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.vocabulary import Vocabulary

KNOWN_SHARE = 0.5  # of a cell of the mask features that has to be labelled for the cell to be learnt
HIDING_PLACE = 1 / 16  # of the image's side: where so much is not labelled, any class may be hidden


class SemanticTask(Task):
    """A `SemanticMap` per image: the target of a sample and what is predicted for it.

    Each category in an image is one object of the set loss, the background too, as Mask2Former does it (arXiv
    2112.01527). Ignored pixels are not learnt.

    With unseen categories the vocabulary is open: the decoder is asked for one category at a time, the background
    aside, which is where none of them is.

    Raises:
        DatasetDMError: more categories than an 8-bit map can hold, or settings that name unknown ones or the
            background as unseen.
    """

    name: ClassVar[str] = "semantic"
    primary_metric: ClassVar[str] = "miou"
    uses_queries: ClassVar[bool] = True

    def __init__(self, categories: Sequence[Category], settings: config.SemanticAnnotation | None = None):
        super().__init__(categories, settings or config.SemanticAnnotation())
        if len(self.categories) > IGNORE:
            raise DatasetDMError(
                f"The data set has {len(self.categories)} categories, but a semantic map holds {IGNORE} at the most: "
                "leave some out."
            )
        self.unseen, self.tail = self._labels_named("unseen"), self._labels_named("tail")
        self._background = [label for label, category in enumerate(self.categories) if category.name == BACKGROUND]
        if set(self.unseen) & set(self._background):
            raise DatasetDMError(
                f"params.yaml: task.unseen names '{BACKGROUND}', which nobody can ask for: leave it out."
            )
        self._codec = replace(SEMANTIC_PNG, decode=self._read_labels)
        self._criterion = SetLoss()

    @property
    def subjects(self) -> tuple[Category, ...]:
        """All but the background, which no prompt can ask for."""
        return tuple(category for category in self.categories if category.name != BACKGROUND)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """All but the background, where some categories are unseen."""
        if not self.unseen:
            return None
        labels = tuple(label for label in range(len(self.categories)) if label not in self._background)
        return Vocabulary(
            words=tuple(self.words[label] for label in labels),
            labels=labels,
            seen=tuple(label for label in labels if label not in self.unseen),
        )

    @property
    def headline(self) -> tuple[str, ...]:
        """Mean IoU, and the figures of the groups that the settings name."""
        seen = ("miou_seen", "miou_unseen", "miou_harmonic") if self.unseen else ()
        return (self.primary_metric, *seen, *(("miou_head", "miou_tail") if self.tail else ()))

    @property
    def rare(self) -> tuple[int, ...]:
        """The tail."""
        return tuple(self.tail)

    def shown(self, target: SemanticMap) -> SemanticMap:
        """The map with `IGNORE` where a category is unseen."""
        hidden = np.isin(target.labels, self.unseen)
        return replace(target, labels=np.where(hidden, IGNORE, target.labels).astype(np.uint8))

    def categories_in(self, target: SemanticMap) -> tuple[int, ...]:
        """See `Task.categories_in`."""
        return tuple(label for label in np.unique(self.shown(target).labels).tolist() if label != IGNORE)

    # --- files

    def load(self, folder: Path, subset: str) -> MapSplit:
        """The samples of `<folder>/annotations/<subset>.json`; images in `images/`, maps in `maps/`."""
        return with_categories(load_maps(folder, subset, self._codec), self.categories)

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write 8-bit index PNGs (255 = ignore), and the images that are not there yet; certainty is not kept."""
        save_maps(folder, subset, samples, self.categories, self._codec)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Read all of a subset; counts of `images` and of the `categories` that occur in them."""
        images, present = 0, set()
        for sample in self.load(folder, subset):
            images += 1
            present |= set(np.unique(sample.target.labels).tolist())
        return {"images": images, "categories": len(present - {IGNORE})}

    # --- geometry

    def warp(self, target: SemanticMap, matrix: np.ndarray, size: tuple[int, int]) -> SemanticMap:
        """See `Task.warp`; pixels that the source does not cover are `IGNORE`."""
        height, width = size
        labels, certainty = (
            cv2.warpAffine(values, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=border)
            for values, border in ((target.labels, IGNORE), (target.certainty, 0))
        )
        return SemanticMap(labels=labels, certainty=certainty)

    def merge(self, targets: Sequence[SemanticMap]) -> SemanticMap:
        """Each pixel of the first part that knows it."""
        labels, certainty = targets[0].labels.copy(), targets[0].certainty.copy()
        for target in targets[1:]:
            new = labels == IGNORE
            labels[new], certainty[new] = target.labels[new], target.certainty[new]
        return SemanticMap(labels=labels, certainty=certainty)

    def pasted(
        self, target: SemanticMap, source: SemanticMap, rng: np.random.Generator
    ) -> tuple[np.ndarray, SemanticMap] | None:
        """See `Task.pasted`; for want of objects, all of some categories (ClassMix, arXiv 2007.07936)."""
        there = np.unique(source.labels[self._foreground(source.labels)])
        if not len(there):
            return None
        region = np.isin(source.labels, there[some_of(len(there), rng)])
        labels = np.where(region, source.labels, target.labels)
        return region, SemanticMap(labels=labels, certainty=np.where(region, source.certainty, target.certainty))

    # --- learning

    def encode(self, target: SemanticMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`labels` (int64, N: the categories in the image), `masks` (float16, N x h x w, the share of each category
        in what is known of a cell) and `valid` (bool, h x w, where enough of a cell is known).

        With an open vocabulary also `doubtful` (bool, one per category): not among the `labels`, but possibly in
        what is not known. Unseen categories are not known, whatever the annotation says.
        """
        values = torch.from_numpy(self.shown(target).labels)
        known = values != IGNORE
        labels = values[known].unique().long()
        planes = torch.cat([values == labels[:, None, None], known[None]]).float()
        shares = F.interpolate(planes[:, None], size=size, mode="area")[:, 0]
        valid = shares[-1] >= KNOWN_SHARE
        masks = (shares[:-1] / shares[-1].clamp(min=KNOWN_SHARE) * valid).half()
        learnt = masks.flatten(1).any(dim=1)
        encoded = {"masks": masks[learnt], "labels": labels[learnt], "valid": valid}
        if self.unseen:
            encoded["doubtful"] = self._doubtful(labels, labels[learnt], valid)
        return encoded

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
        """`loss_ce`, `loss_mask` and `loss_dice` of the set loss with the paper's weights (2, 5, 5; no object 0.1).

        With an open vocabulary the images are the questions that have an answer.
        """
        if not self.unseen:
            return self._criterion(outputs, targets)
        answers, truths = pair_questions(outputs, targets)
        if truths:
            return self._criterion(answers, truths)
        nothing = answers["pred_logits"].sum()
        return dict.fromkeys(("loss_ce", "loss_mask", "loss_dice"), nothing)

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """Mask2Former's semantic inference: at each pixel, class probability x mask probability, summed over queries.

        The likeliest category wins; its certainty is its share in the sum over all categories. Pixels where no
        category has any probability are `IGNORE`. `allowed` never rules out the background. An image's score is the
        mean certainty of what is not background.

        With an open vocabulary a category's probability at a pixel is that of its likeliest query, and the
        background's is what the likeliest category leaves: it wins where no category reaches one half.
        """
        if self.unseen:
            return [self._found(scores) for scores in self._asked(outputs, size, allowed)]
        logits, masks = outputs["pred_logits"].float().cpu(), outputs["pred_masks"].float()
        if allowed is not None:
            logits = rule_out(logits, [[*labels, *self._background] for labels in allowed])
        probabilities = logits.softmax(dim=-1)[..., :-1].to(masks.device)
        return [self._read(*image, size) for image in zip(probabilities, masks, strict=True)]

    # --- judging

    def accept(
        self, prediction: Prediction, settings: config.Synthesis, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Task.accept`; pixels below `min_certainty` and categories below `min_area` become `IGNORE`.

        Rejected is an image of whose categories, the background aside, none is left, or whose score (mean certainty
        before anything was left out) is below `score_threshold`.
        """
        found: SemanticMap = prediction.target
        labels = np.where(found.certainty < self.settings.min_certainty, IGNORE, found.labels).astype(np.uint8)
        areas = np.bincount(labels.ravel(), minlength=IGNORE + 1) / labels.size
        small = [label for label in np.flatnonzero(areas < settings.min_area) if label not in self._background]
        kept = replace(found, labels=np.where(np.isin(labels, small), IGNORE, labels).astype(np.uint8))
        covered = self._foreground(kept.labels)
        rejected = None
        if not covered.any():
            rejected = "nothing but background or ignored pixels"
        elif prediction.score < settings.score_threshold:
            rejected = "mean certainty below the score threshold"
        elif settings.require_prompted and not {*asked} <= {*np.unique(kept.labels).tolist()}:
            rejected = NOT_FOUND
        return Acceptance(
            target=kept,
            rejected=rejected,
            scores={
                "score": prediction.score,
                "num_categories": float(len(np.unique(kept.labels[covered]))),
                "covered_area": float(covered.mean()),
                "ignored_area": float((kept.labels == IGNORE).mean()),
            },
        )

    def trusted(self, found: SemanticMap, threshold: float, settings: config.Synthesis) -> Acceptance:
        """See `Task.trusted`; pixels less certain than `threshold` become `IGNORE`."""
        sure = np.where(found.certainty < threshold, IGNORE, found.labels).astype(np.uint8)
        return super().trusted(replace(found, labels=sure), threshold, settings)

    def evaluator(self) -> SemanticEvaluator:
        """Mean IoU, with figures of their own for unseen and tail categories."""
        return SemanticEvaluator([category.name for category in self.categories], self.unseen, self.tail)

    def baseline(self, targets: Iterable[SemanticMap]) -> Guess:
        """At each place the category that is there most often."""
        majority = MajorityMap.fit(targets)
        return lambda size, hint: majority.predict(size)

    def draw(self, image: np.ndarray, target: SemanticMap) -> np.ndarray:
        """Coloured areas with their names; the background is left as it is, ignored pixels are darker."""
        texts = {label: category.name for label, category in enumerate(self.categories) if category.name != BACKGROUND}
        return draw_labels(image, target.labels, texts, IGNORE)

    def _read(self, probabilities: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> Prediction:
        """The map of one image, of Q x classes probabilities and Q x h x w mask logits."""
        inside = F.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)[0].sigmoid()
        return self._found(torch.einsum("qc,qhw->chw", probabilities, inside))

    def _asked(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None
    ) -> Iterator[torch.Tensor]:
        """Per image the probabilities (categories x height x width) that the answers to its questions make up."""
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

    def _found(self, scores: torch.Tensor) -> Prediction:
        """The map of one image, of categories x height x width scores."""
        total = scores.sum(dim=0)
        best, labels = scores.max(dim=0)
        known = total > 0
        certainty = torch.where(known, best / total, 0).cpu().numpy()
        found = torch.where(known, labels, IGNORE).to(torch.uint8).cpu().numpy()
        covered = self._foreground(found)
        score = float(certainty[covered].mean()) if covered.any() else 0.0
        return Prediction(target=SemanticMap(labels=found, certainty=certainty), score=score)

    def _foreground(self, labels: np.ndarray) -> np.ndarray:
        return ~np.isin(labels, [IGNORE, *self._background])

    def _labels_named(self, setting: str) -> list[int]:
        """The labels of the categories that a setting lists."""
        label_of = {category.name: label for label, category in enumerate(self.categories)}
        names = getattr(self.settings, setting)
        unknown = [name for name in names if name not in label_of]
        if unknown:
            raise DatasetDMError(
                f"params.yaml: task.{setting} names {', '.join(unknown)}, which the data set does not have. It has: "
                f"{', '.join(label_of)}."
            )
        return [label_of[name] for name in names]

    def _read_labels(self, values: np.ndarray) -> SemanticMap:
        unknown = values[(values >= len(self.categories)) & (values != IGNORE)]
        if unknown.size:
            raise ValueError(f"the pixel value {unknown[0]} stands for none of the {len(self.categories)} categories")
        return SEMANTIC_PNG.decode(values)
