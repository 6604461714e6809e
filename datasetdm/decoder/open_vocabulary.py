"""Open vocabulary: the P-Decoder is given one class name at a time and finds that class or nothing.

As in the paper (section 3.2), the embedding of the name is joined to the queries, and there is one pass per class. The
cross-attention of that word is a further input, and that of no other word: attention means the same for every name,
while the embedding of a name that training never saw is unknown to the decoder.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, Self

import torch

from datasetdm import config
from datasetdm.decoder.p_decoder import PDecoder, mask_size
from datasetdm.decoder.pixel_decoder import FeatureInput, Fusion
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.tasks.vocabulary import Vocabulary

NAMED_PER_IMAGE = 3  # at most so many questions per image and training step are about classes that its prompt names
ASKED_PER_IMAGE = 4  # questions per image and training step; the others are about classes that the prompt does not name
ROWS_AT_ONCE = 32  # questions in one pass of evaluation, which bounds the memory


class OpenVocabularyDecoder(PDecoder):
    """A P-Decoder with the attention of one word as input and two classes: the class in question, and no object.

    Args:
        feature_info: the levels that the backbone yields.
        settings: widths and depths; with `category_from_prompt` evaluation asks only for classes that a prompt names.
        vocabulary: the classes.
        embeddings: of its words, W x D (`Backbone.embed_words`); saved with the weights.

    Raises:
        DatasetDMError: as `PDecoder`, or the number of embeddings is not that of the words.
    """

    def __init__(
        self,
        feature_info: Sequence[FeatureLevel],
        settings: config.Decoder,
        vocabulary: Vocabulary,
        embeddings: torch.Tensor,
    ):
        super().__init__(
            feature_info,
            1,
            settings,
            num_classes=1,
            uses_queries=True,
            dense_channels=0,
            text_dim=embeddings.shape[1],
        )
        self._heed_attention()
        self.num_queries, self.only_named = settings.num_queries, settings.category_from_prompt
        self.embeddings: torch.Tensor
        self.register_buffer("embeddings", torch.empty(0))
        self._learn(vocabulary, embeddings)

    def with_words(self, vocabulary: Vocabulary, embeddings: torch.Tensor) -> Self:
        """The same weights with another vocabulary, in evaluation mode.

        Args:
            vocabulary: the new classes; their labels are positions among the words of the features.
            embeddings: of its words, by the backbone that the decoder was trained on.
        """
        other = copy.deepcopy(self)
        other._learn(vocabulary, embeddings)
        other.learnt = None
        return other.eval()

    def forward(self, features: DiffusionFeatures) -> dict[str, Any]:
        """Ask each image for some seen classes (training), or for all classes of the vocabulary (evaluation).

        Returns:
            `images` and `labels` (int64, R, on the CPU): what was asked in each of R questions, and `batch_size`, the
            number of images. `pred_logits` (R x Q x 2), `pred_masks` (R x Q x h x w) and, in training, `aux_outputs`
            as in `PDecoder.forward`, a row per question.

        Raises:
            DatasetDMError: in training, where no class is seen.
        """
        named = self._named(features)
        images, entries = self._some(named) if self.training else self._all(named)
        asked = {"images": images, "labels": self._labels[entries], "batch_size": len(named)}
        if self.training:
            return asked | self._ask(features, images, entries)
        answers = [self._nothing(features)]
        for part in torch.arange(len(images)).split(ROWS_AT_ONCE):
            if len(part):
                answers.append(self._ask(features, images[part], entries[part]))
        return asked | {name: torch.cat([answer[name] for answer in answers]) for name in answers[0]}

    @torch.no_grad()
    def _heed_attention(self) -> None:
        """Let the one channel of attention start with the weight of all others together.

        Next to hundreds of other channels, one with an ordinary initial weight would hardly count for a long time. But
        apart from the name, nothing else differs between the questions about an image.
        """
        for source, fusion in zip(self.pixel_decoder.inputs, self.pixel_decoder.fusions, strict=True):
            assert isinstance(source, FeatureInput) and isinstance(fusion, Fusion)
            if source.has_attention:
                fusion.join.weight[:, -1] *= math.sqrt(fusion.join.in_channels - 1)

    def _learn(self, vocabulary: Vocabulary, embeddings: torch.Tensor) -> None:
        if embeddings.shape != (len(vocabulary.words), embeddings.shape[-1]):
            raise DatasetDMError(
                f"There are embeddings of shape {tuple(embeddings.shape)} for {len(vocabulary.words)} class names: one "
                "row each is needed, from the backbone that the decoder was trained on."
            )
        self._labels = torch.tensor(vocabulary.labels, dtype=torch.long)
        self._seen = torch.isin(self._labels, torch.tensor(vocabulary.seen, dtype=torch.long))
        self.embeddings = embeddings.detach().to(self.embeddings.device, torch.float32).clone()

    def _named(self, features: DiffusionFeatures) -> torch.Tensor:
        """Which words the prompts mention, bool B x words; none if the backbone reads no prompts."""
        if features.mentioned is not None:
            return features.mentioned
        images = len(next(iter(features.maps.values())))
        return torch.zeros(images, int(self._labels.max()) + 1, dtype=torch.bool)

    def _some(self, named: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and entry of the vocabulary of each question of a training step: first named classes, then others."""
        seen = self._seen.nonzero()[:, 0]
        if not len(seen):
            raise DatasetDMError("task.unseen in params.yaml names every class: nothing is left to train on.")
        drawn = []
        for image, held in enumerate(named[:, self._labels[seen]]):
            order = torch.randperm(len(seen))
            present = order[held[order]][:NAMED_PER_IMAGE]
            absent = order[~held[order]][: ASKED_PER_IMAGE - len(present)]
            entries = seen[torch.cat([present, absent])]
            drawn.append(torch.stack([torch.full_like(entries, image), entries]))
        images, entries = torch.cat(drawn, dim=1)
        return images, entries

    def _all(self, named: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = named[:, self._labels] if self.only_named else torch.ones(len(named), len(self._labels))
        images, entries = wanted.nonzero(as_tuple=True)
        return images, entries

    def _ask(self, features: DiffusionFeatures, images: torch.Tensor, entries: torch.Tensor) -> dict[str, Any]:
        """One pass for R questions: the maps of the image, and the attention of the one word."""
        device = self.embeddings.device
        labels = self._labels[entries].to(device)
        images, entries = images.to(device), entries.to(device)
        asked = DiffusionFeatures(
            maps={stride: values[images] for stride, values in features.maps.items()},
            attention={stride: values[images, labels][:, None] for stride, values in features.attention.items()},
        )
        outputs = self._read(asked, self.embeddings[entries])
        if not self.training:
            del outputs["aux_outputs"]
        return outputs

    def _nothing(self, features: DiffusionFeatures) -> dict[str, Any]:
        """The answers to no question."""
        none = self.embeddings.new_zeros(0, self.num_queries, 2)
        return {"pred_logits": none, "pred_masks": none.new_zeros(0, self.num_queries, *mask_size(features))}


def build_p_decoder(
    task: Task, feature_info: Sequence[FeatureLevel], settings: config.Decoder, embeddings: torch.Tensor | None
) -> PDecoder:
    """A new P-Decoder with the heads that the task needs; arguments as for `build_decoder`."""
    if task.vocabulary is not None:
        if embeddings is None:
            raise DatasetDMError("The decoder has no embeddings of the class names of its vocabulary.")
        return OpenVocabularyDecoder(feature_info, settings, task.vocabulary, embeddings)
    return PDecoder(
        feature_info,
        len(task.words),
        settings,
        num_classes=len(task.categories),
        uses_queries=task.uses_queries,
        dense_channels=task.dense_channels,
    )
