"""Masks of words, as methods find them that have no queries, and what a decoder with queries would say instead.

`Task.word_outputs` turns them into such outputs, so that `Task.decode` and all that follows are the same for every
method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

SURE = 1e-6  # no word is surer to be there, or to be absent, than by this
NEVER = -30.0  # logit of what a query is not
SPECK = 0.05  # a connected part smaller than this share of the largest one of its word is no object
FEWEST_CELLS = 4  # nor is one of fewer cells


@dataclass(frozen=True, kw_only=True)
class WordMasks:
    """One mask for each of W words in each of B images.

    Attributes:
        labels: of the words, int64, W.
        masks: logits, B x W x h x w.
        present: probability that the image shows the word at all, B x W.
        asked: which words were looked for, bool, B x W.
    """

    labels: torch.Tensor
    masks: torch.Tensor
    present: torch.Tensor
    asked: torch.Tensor

    def certainty(self) -> torch.Tensor:
        """B x W: `present`, of words that were not looked for next to nothing, and short of certainty."""
        return (self.present.float() * self.asked).clamp(SURE, 1 - SURE)


def query_logits(present: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Logits of queries that are of one class or of none, ... x (num_classes + 1), the last for "no object".

    Where that class is ruled out, "no object" is what remains.

    Args:
        present: probability of the class, short of 0 and 1, ... (any shape).
        labels: the class, of the same shape.
        num_classes: number of classes.
    """
    logits = present.new_full((*present.shape, num_classes + 1), NEVER)
    logits.scatter_(-1, labels[..., None], present.log()[..., None])
    logits[..., -1] = (1 - present).log()
    return logits


def separate(found: WordMasks, num_classes: int) -> dict[str, torch.Tensor]:
    """A query for each connected part of each mask, as `pred_logits` and `pred_masks` of B images.

    Two objects of a word that touch are one: a mask per word cannot tell them apart.
    """
    certainty, logits, masks = found.certainty(), [], []
    for image in range(len(found.masks)):
        parts = [
            (entry, part)
            for entry in found.asked[image].nonzero().flatten().tolist()
            for part in connected_parts(found.masks[image, entry])
        ]
        entries = torch.tensor([entry for entry, _ in parts], dtype=torch.long, device=found.masks.device)
        labels = found.labels.to(found.masks.device)[entries]
        logits.append(query_logits(certainty[image, entries], labels, num_classes))
        masks.append(_stacked([part for _, part in parts], found.masks))
    return {"pred_logits": _padded(logits, num_classes), "pred_masks": pad_sequence(masks, batch_first=True)}


def connected_parts(mask: torch.Tensor) -> list[torch.Tensor]:
    """The mask (logits, h x w) once for each of its connected parts, without the others, the largest first."""
    inside = (mask > 0).cpu().numpy().astype(np.uint8)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    smallest = max(FEWEST_CELLS, SPECK * areas[1:].max(initial=0))
    order = sorted(range(1, count), key=lambda number: -areas[number])
    numbered = torch.from_numpy(numbers).to(mask.device)
    return [
        mask.masked_fill((numbered != number) & (numbered != 0), NEVER) for number in order if areas[number] >= smallest
    ]


def _stacked(parts: Sequence[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(parts)) if parts else like.new_zeros(0, *like.shape[-2:])


def _padded(logits: Sequence[torch.Tensor], num_classes: int) -> torch.Tensor:
    """Queries of several images, B x Q x (num_classes + 1); those that an image lacks are of no object."""
    nothing = logits[0].new_full((1, num_classes + 1), NEVER)
    nothing[..., -1] = 0.0
    most = max(map(len, logits))
    return torch.stack([torch.cat([one, nothing.expand(most - len(one), -1)]) for one in logits])
