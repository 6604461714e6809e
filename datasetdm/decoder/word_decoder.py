"""Methods that find one mask for each class word, and leave it to the task to make an annotation of these."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from datasetdm import config
from datasetdm.decoder.base import Decoder
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.tasks.base import Task
from datasetdm.tasks.word_masks import WordMasks


class WordDecoder(Decoder):
    """Looks for each category that a prompt may name (`Task.prompt_words`), whether it has seen one or not.

    Args:
        task: what is read.
        settings: with `category_from_prompt` only words that the prompt mentions are looked for.
    """

    finds_any_word: ClassVar[bool] = True

    def __init__(self, task: Task, settings: config.Decoder):
        super().__init__()
        self.task, self.only_named = task, settings.category_from_prompt
        self.labels = torch.tensor([*task.prompt_words], dtype=torch.long)

    @abstractmethod
    def find(self, features: DiffusionFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """For each of the W words its mask (logits, B x W x h x w), and how likely it is there (B x W)."""

    def forward(self, features: DiffusionFeatures) -> dict[str, Any]:
        """See `Decoder.forward`."""
        masks, present = self.find(features)
        asked = self._asked(features, len(masks)).to(masks.device)
        return self.task.word_outputs(WordMasks(labels=self.labels, masks=masks, present=present, asked=asked))

    def _asked(self, features: DiffusionFeatures, images: int) -> torch.Tensor:
        if self.only_named and features.mentioned is not None:
            return features.mentioned[:, self.labels]
        return torch.ones(images, len(self.labels), dtype=torch.bool)


@dataclass(frozen=True)
class Truth:
    """The true mask of a word in a labelled image.

    Attributes:
        mask: the share of each cell that it covers, h x w; None if the word is absent.
        valid: bool, h x w, the cells that count.
    """

    mask: torch.Tensor | None
    valid: torch.Tensor


def true_mask(target: Mapping[str, torch.Tensor], label: int) -> Truth | None:
    """What `Task.encode` made of an annotation, as the mask of one word; None if nobody knows whether it is there.

    All objects of the word are one mask. Crowds and unlabelled cells do not count.
    """
    masks = target["masks"][target["labels"] == label]
    valid = target.get("valid", torch.ones(target["masks"].shape[-2:], dtype=torch.bool, device=masks.device))
    if "ignored" in target:
        valid = valid & ~target["ignored"]
    if len(masks):
        return Truth(masks.float().amax(dim=0), valid)
    return None if "doubtful" in target and target["doubtful"][label] else Truth(None, valid)
