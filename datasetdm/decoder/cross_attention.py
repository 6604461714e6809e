"""Masks from cross-attention alone, ours after DiffuMask (Wu et al., ICCV 2023, arXiv 2303.11681).

As theirs: attention to the class word, averaged over layers; refined by a random walk over an affinity of places; a
threshold for each class. Their noise filter by cross-validation is `synthesis.cross_validation`. Otherwise: the
affinity is that of the diffusion features and is not learnt, there is no conditional random field, and thresholds are
chosen by the true masks of the few labelled images, where theirs are chosen by the refined maps themselves.
"""

from collections.abc import Iterable, Sequence

import torch

from datasetdm import config
from datasetdm.decoder.affinity import random_walk
from datasetdm.decoder.attention_maps import SHARPNESS, is_mentioned, normalised, resized, word_attention
from datasetdm.decoder.base import Labelled
from datasetdm.decoder.p_decoder import mask_size
from datasetdm.decoder.thresholds import best_thresholds, iou_curve
from datasetdm.decoder.word_decoder import WordDecoder, true_mask
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.tasks.base import Task

WALKS = (0, 4, 8, 16)  # numbers of steps that are tried on the labelled images
# Chosen on training images of the embedded world (docs/rivals.md), as is `attention_maps.NUM_RESOLUTIONS`:
NUM_LEVELS = 2  # of features, the finest ones, whose similarity counts
RADIUS = 1 / 4  # of the image's side, which a step reaches at the most
TEMPERATURE = 0.1  # of similarities, from -1 to 1


class CrossAttentionDecoder(WordDecoder):
    """Attention to a word, refined, where it exceeds the threshold of the word.

    Args:
        task: what is read.
        feature_info: not needed; all methods are given it.
        settings: with `category_from_prompt` only words that the prompt mentions are looked for; others have no
            attention anyway.
        embeddings: not needed.
    """

    def __init__(
        self,
        task: Task,
        feature_info: Sequence[FeatureLevel],
        settings: config.Decoder,
        embeddings: torch.Tensor | None = None,
    ):
        super().__init__(task, settings)
        self.thresholds: torch.Tensor
        self.steps: torch.Tensor
        self.register_buffer("thresholds", torch.full((len(self.labels),), 0.5))
        self.register_buffer("steps", torch.tensor(WALKS[-1]))

    def find(self, features: DiffusionFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WordDecoder.find`."""
        attention = self._attention(features)
        maps = self._refined(features, attention, int(self.steps))
        return SHARPNESS * (maps - self.thresholds[:, None, None].to(maps.device)), is_mentioned(attention)

    @torch.no_grad()
    def choose(self, task: Task, labelled: Iterable[Labelled]) -> None:
        """Choose the number of steps and the threshold of each word by the IoU with the true masks.

        Only words that the caption mentions count: the others have no attention.
        """
        curves: dict[int, list[tuple[int, torch.Tensor]]] = {steps: [] for steps in WALKS}
        for samples, features in labelled:
            attention = self._attention(features)
            targets = [task.encode(task.shown(sample.target), mask_size(features)) for sample in samples]
            for steps, found in curves.items():
                maps = self._refined(features, attention, steps).cpu()
                for image, word in is_mentioned(attention).nonzero().tolist():
                    truth = true_mask(targets[image], int(self.labels[word]))
                    if truth is not None and truth.mask is not None:
                        found.append((word, iou_curve(maps[image, word], truth.mask >= 0.5, truth.valid)))
        chosen = {steps: best_thresholds(found, len(self.labels)) for steps, found in curves.items()}
        steps = max(chosen, key=lambda one: chosen[one][1])
        self.steps.fill_(steps)
        self.thresholds.copy_(chosen[steps][0])

    def _attention(self, features: DiffusionFeatures) -> torch.Tensor:
        return word_attention(features, self.labels, features.maps[min(features.maps)].shape[-1])

    def _refined(self, features: DiffusionFeatures, attention: torch.Tensor, steps: int) -> torch.Tensor:
        """The maps after the walk, in [0, 1], at the size of masks."""
        side = attention.shape[-1]
        levels = [resized(features.maps[stride].float(), side) for stride in sorted(features.maps)[:NUM_LEVELS]]
        walked = random_walk(
            normalised(attention),
            torch.cat(levels, dim=1),
            steps=steps,
            radius=RADIUS * side,
            temperature=TEMPERATURE,
        )
        return normalised(resized(walked, mask_size(features)[0]))
