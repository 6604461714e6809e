"""A grounding module, ours after Li et al. ("Open-vocabulary Object Segmentation with Diffusion Models", ICCV 2023).

As theirs (arXiv 2301.05221): the features of all levels are fused into a visual map; the embedding of a class word is
the query of a small transformer that looks at this map; the mask is where the map agrees with what comes out. There is
no cross-attention of the diffusion model among its inputs, and words do not see each other, so that a word that
training never saw is read like any other. Otherwise: the masks of the seen classes that it learns from are true ones,
where theirs are a detector's; and it also learns whether a word is there, because here prompts may be empty.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from datasetdm import config
from datasetdm.decoder.p_decoder import NUM_MEMORY_LEVELS
from datasetdm.decoder.pixel_decoder import PixelDecoder
from datasetdm.decoder.word_decoder import Truth, WordDecoder, true_mask
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task

MASK_WEIGHT, DICE_WEIGHT, PRESENCE_WEIGHT = 5.0, 5.0, 2.0  # those of the P-Decoder's losses
ABSENT_WEIGHT = 0.1  # of a word that is not there, in the loss of presence: most words are not


class GroundingModule(WordDecoder):
    """Fuses visual features with the embedding of a word, and finds the mask of that word.

    Args:
        task: what is read.
        feature_info: the levels that the backbone yields.
        settings: `hidden_dim`, `num_layers`, `num_heads`, `feedforward_dim` and `dropout`, as in the P-Decoder.
        embeddings: of the nouns of `task.prompt_words`, W x D; saved with the weights.

    Raises:
        DatasetDMError: no embeddings, or not one for each word.
    """

    def __init__(
        self,
        task: Task,
        feature_info: Sequence[FeatureLevel],
        settings: config.Decoder,
        embeddings: torch.Tensor | None,
    ):
        super().__init__(task, settings)
        if embeddings is None or len(embeddings) != len(self.labels):
            raise DatasetDMError(
                f"The grounding module needs the embeddings of {len(self.labels)} class names. Train the decoder again."
            )
        hidden, mask_channels = settings.hidden_dim, settings.hidden_dim // 2
        self.pixel_decoder = PixelDecoder(feature_info, 0, hidden, mask_channels, settings.dropout)
        self.position = Mask2FormerSinePositionEmbedding(hidden // 2, normalize=True)
        self.read_word = _two_layers(embeddings.shape[1], hidden, hidden)
        self.layers = nn.ModuleList(WordLayer(settings) for _ in range(settings.num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.mask_of = _two_layers(hidden, hidden, mask_channels)
        self.presence_of = nn.Linear(hidden, 1)
        self.embeddings: torch.Tensor
        self.register_buffer("embeddings", embeddings.detach().float().clone())
        # Embeddings of class names have much in common, and only what differs between them tells classes apart.
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", self.embeddings.mean(dim=0))
        self.register_buffer("std", self.embeddings.std(dim=0, correction=0).clamp(min=1e-4))
        seen = self.labels if task.vocabulary is None else torch.tensor(task.vocabulary.seen, dtype=torch.long)
        self._seen = torch.isin(self.labels, seen).nonzero()[:, 0]

    def calibrate(self, features: DiffusionFeatures) -> None:
        """See `Decoder.calibrate`."""
        self.pixel_decoder.calibrate(features)

    def find(self, features: DiffusionFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """See `WordDecoder.find`."""
        masks, presence = self._ground(features, self.embeddings)[-1]
        return masks, presence.sigmoid()

    def loss(
        self, task: Task, features: DiffusionFeatures, targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """`loss_mask` and `loss_dice` over the seen words that are there, `loss_presence` over all seen words.

        Each is the mean over the layers, all of which learn to answer.
        """
        if not len(self._seen):
            raise DatasetDMError("task.unseen in params.yaml names every class: nothing is left to train on.")
        labels = self.labels[self._seen].tolist()
        truths = [true_mask(target, label) for target in targets for label in labels]
        answers = self._ground(features, self.embeddings[self._seen.to(self.embeddings.device)])
        terms = [
            {
                **_mask_losses(masks.flatten(0, 1), truths),
                "loss_presence": PRESENCE_WEIGHT * _presence_loss(presence.flatten(), truths),
            }
            for masks, presence in answers
        ]
        return {name: torch.stack([layer[name] for layer in terms]).mean() for name in terms[0]}

    def _ground(self, features: DiffusionFeatures, embeddings: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Mask logits (B x W x h x w) and presence logits (B x W) of words with these embeddings (W x D), by layer."""
        levels, mask_features = self.pixel_decoder(features)
        memory = list(levels[:-1] or levels)[-NUM_MEMORY_LEVELS:]
        values = torch.cat([level.flatten(2).transpose(1, 2) for level in memory], dim=1)
        keys = values + torch.cat([self._places(level) for level in memory], dim=1)
        words = self.read_word((embeddings - self.mean) / self.std)[None].expand(len(mask_features), -1, -1)
        answers = []
        for layer in self.layers:
            words = layer(words, keys, values)
            answers.append(self._answer(self.norm(words), mask_features))
        return answers

    def _answer(self, words: torch.Tensor, mask_features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        masks = torch.einsum("bqc,bchw->bqhw", self.mask_of(words), mask_features)
        return masks, self.presence_of(words)[..., 0]

    def _places(self, level: torch.Tensor) -> torch.Tensor:
        positions: torch.Tensor = self.position(level.shape, level.device, level.dtype)
        return positions.flatten(2).transpose(1, 2)


class WordLayer(nn.Module):
    """Each word looks at the image by itself; a feed-forward layer follows."""

    def __init__(self, settings: config.Decoder):
        super().__init__()
        hidden = settings.hidden_dim
        self.attention = nn.MultiheadAttention(hidden, settings.num_heads, batch_first=True)
        self.feedforward = _two_layers(hidden, settings.feedforward_dim, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))

    def forward(self, words: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """B x W x C words, B x N x C places: B x W x C."""
        found, _ = self.attention(self.norms[0](words), keys, values, need_weights=False)
        words = words + found
        after: torch.Tensor = words + self.feedforward(self.norms[1](words))
        return after


def _two_layers(channels: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))


def _mask_losses(masks: torch.Tensor, truths: Sequence[Truth | None]) -> dict[str, torch.Tensor]:
    """Binary cross entropy and dice loss of the masks (R x h x w) of words that are there, means over these."""
    rows = [row for row, truth in enumerate(truths) if truth is not None and truth.mask is not None]
    if not rows:
        return dict.fromkeys(("loss_mask", "loss_dice"), 0 * masks.sum())
    found = [truths[row] for row in rows]
    true = torch.stack([truth.mask for truth in found if truth and truth.mask is not None]).to(masks)
    valid = torch.stack([truth.valid for truth in found if truth]).to(masks)
    chosen = masks[rows]
    entropy = F.binary_cross_entropy_with_logits(chosen, true, reduction="none") * valid
    inside, true = chosen.sigmoid() * valid, true * valid
    overlap = (2 * (inside * true).sum(dim=(1, 2)) + 1) / (inside.sum(dim=(1, 2)) + true.sum(dim=(1, 2)) + 1)
    by_mask = entropy.sum(dim=(1, 2)) / valid.sum(dim=(1, 2)).clamp(min=1)
    return {"loss_mask": MASK_WEIGHT * by_mask.mean(), "loss_dice": DICE_WEIGHT * (1 - overlap).mean()}


def _presence_loss(presence: torch.Tensor, truths: Sequence[Truth | None]) -> torch.Tensor:
    """Cross entropy of whether each word (R) is there, the weighted mean over those that somebody knows of."""
    true = presence.new_tensor([float(truth is not None and truth.mask is not None) for truth in truths])
    known = presence.new_tensor([float(truth is not None) for truth in truths])
    weight = known * torch.where(true > 0, 1.0, ABSENT_WEIGHT)
    entropy = F.binary_cross_entropy_with_logits(presence, true, reduction="none")
    return (entropy * weight).sum() / weight.sum().clamp(min=1e-6)
