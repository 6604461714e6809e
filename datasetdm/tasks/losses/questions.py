"""Questions to an open-vocabulary decoder, paired with their true answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def pair_questions(
    outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
) -> tuple[dict[str, Any], list[dict[str, torch.Tensor]]]:
    """Outputs and targets, a row each per question, as the set loss takes them.

    Args:
        outputs: of `OpenVocabularyDecoder` in training.
        targets: per image `labels` (int64, N), `masks` (N x h x w), `valid` (bool, h x w) and `doubtful` (bool, one
            per category): classes that may be in an unlabelled part of the image.

    Returns:
        The answers to questions with a true answer: the class is there, and its mask is the one object, or it is
        known not to be, and there is none.
    """
    rows, truths = [], []
    for row, (image, label) in enumerate(zip(outputs["images"].tolist(), outputs["labels"].tolist(), strict=True)):
        target = targets[image]
        masks = target["masks"][target["labels"] == label]
        if len(masks) or not target["doubtful"][label]:
            nothing_else = torch.zeros(len(masks), dtype=torch.long, device=masks.device)
            rows.append(row)
            truths.append({"labels": nothing_else, "masks": masks, "valid": target["valid"]})
    index = torch.tensor(rows, dtype=torch.long, device=outputs["pred_logits"].device)
    layers = [
        {name: layer[name].index_select(0, index) for name in ("pred_logits", "pred_masks")}
        for layer in (outputs, *outputs["aux_outputs"])
    ]
    return {**layers[0], "aux_outputs": layers[1:]}, truths
