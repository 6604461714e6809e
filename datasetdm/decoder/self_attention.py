"""Masks from attention alone and without any training, ours after Dataset Diffusion (Nguyen et al., NeurIPS 2023).

As theirs (arXiv 2309.14303): attention to the class word is multiplied by a power of the self-attention, which carries
it to the places that belong together, and a fixed threshold makes a mask of it. Otherwise: one pass over the noised
image instead of all steps of its drawing, so that real images are read in the same way. Their band of unsure pixels is
`task.min_certainty`.
"""

from collections.abc import Sequence

import torch

from datasetdm import config
from datasetdm.decoder.attention_maps import SHARPNESS, is_mentioned, normalised, resized, word_attention
from datasetdm.decoder.p_decoder import mask_size
from datasetdm.decoder.word_decoder import WordDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.tasks.base import Task

# Chosen on training images of the embedded world (docs/rivals.md). Theirs is Stable Diffusion's self-attention as a
# matrix to the power of 4. That of the embedded model is more diffuse, and a power of it would soon be the same
# everywhere, so that each of its values is raised first.
EXPONENT = 3  # of each value; rows then have the sum 1 again
POWER = 2  # of the matrix
THRESHOLD = 0.5


class SelfAttentionDecoder(WordDecoder):
    """Attention to a word, carried on by self-attention, where it exceeds a threshold that is the same for all words.

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
        self.threshold: torch.Tensor
        self.register_buffer("threshold", torch.tensor(THRESHOLD))

    def find(self, features: DiffusionFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WordDecoder.find`."""
        together = features.self_attention[min(features.self_attention)].float() ** EXPONENT
        together = together / together.sum(dim=-1, keepdim=True)
        side = round(together.shape[-1] ** 0.5)
        attention = word_attention(features, self.labels, side)
        maps = attention.flatten(2).transpose(1, 2)
        for _ in range(POWER):
            maps = together @ maps
        carried = maps.transpose(1, 2).view_as(attention)
        enlarged = normalised(resized(carried, mask_size(features)[0]))
        return SHARPNESS * (enlarged - self.threshold), is_mentioned(attention)


def knows_all_named(features: DiffusionFeatures, task: Task) -> list[bool]:
    """For each image whether its prompt names categories, and there is attention to each of them.

    A prompt can name a category by another word ("puppy" for dog). Then there is none, and what attention finds in the
    image is not all that it shows.
    """
    if features.mentioned is None:
        return [False] * len(next(iter(features.maps.values())))
    labels = [*task.prompt_words]
    named = features.mentioned[:, labels]
    attended = torch.stack([values.flatten(2).any(dim=-1) for values in features.attention.values()]).any(dim=0)
    known = attended[:, labels].cpu() | ~named
    return (named.any(dim=1) & known.all(dim=1)).tolist()
