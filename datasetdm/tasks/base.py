"""What a task is to the P-Decoder: its heads, its training targets, its loss, and how its outputs are decoded.

The shared loops (`decoder/trainer.py`, `synthesis/generate.py`) know this interface alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.annotation import Comparable
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.prompts.synonyms import word_of
from datasetdm.tasks.vocabulary import Vocabulary
from datasetdm.tasks.word_masks import WordMasks


class Task(ABC):
    """One kind of annotation, as the P-Decoder learns and predicts it.

    Args:
        categories: the data set's categories; the label of a category is its index.
        settings: the section of `config.TaskSettings` with the task's name.
    """

    name: ClassVar[str]
    primary_metric: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    uses_queries: ClassVar[bool]  # switches on the P-Decoder's query transformer
    dense_channels: ClassVar[int] = 0  # channels of the P-Decoder's dense head; 0 switches it off
    uses_prompt_boxes: ClassVar[bool] = False  # whether a downstream model is given boxes; see `prompt_boxes`

    def __init__(self, categories: Sequence[Category], settings: Any):
        self.categories = tuple(categories)
        self.settings = settings

    @property
    def kind(self) -> tuple[config.TaskSettings, tuple[Category, ...]]:
        """What `standard_format`, `build_filter` and `build_evaluator` need to know of the task."""
        return self.settings, self.categories

    @property
    def words(self) -> tuple[Word, ...]:
        """The words whose cross-attention the P-Decoder reads: the categories' in label order, or none at all."""
        return tuple(map(word_of, self.categories))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The classes that the decoder is asked for one by one, by name; None if its list of classes is fixed."""
        return None

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics that the leaderboard shows; the first is the primary one."""
        return (self.primary_metric,)

    @property
    def subjects(self) -> tuple[Category, ...]:
        """The categories that a prompt may name."""
        return self.categories

    @property
    def prompt_words(self) -> dict[int, Word]:
        """Label of each category that a prompt may name -> its word in the prompt."""
        named = {category.id for category in self.subjects}
        return {label: word_of(category) for label, category in enumerate(self.categories) if category.id in named}

    @property
    def rare(self) -> tuple[int, ...]:
        """Labels of the categories of which `ingest.tail_images` allows few labelled images."""
        return ()

    def shown(self, target: Any) -> Any:
        """The part of a real annotation that training and the choices on dev may see."""
        return target

    def prompt_boxes(self, target: Any) -> np.ndarray | None:
        """The boxes that a downstream model is given with an image (float32, N x 4: x, y, width, height).

        None, unless the task's standard protocol gives boxes, as that of top-down pose estimation does.
        """
        return None

    @abstractmethod
    def encode(self, target: Any, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """The annotation as training tensors at the resolution (height, width) of the mask features."""

    @abstractmethod
    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The weighted loss terms (`loss_ce`, `loss_mask`, ...) of a batch; training minimises their sum."""

    @abstractmethod
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """The predictions of a batch at (height, width).

        Args:
            outputs: what the P-Decoder returned.
            size: of the images.
            allowed: for each image the labels that it may have; None allows all.
        """

    def word_outputs(self, found: WordMasks) -> dict[str, Any]:
        """What a decoder would return that had found these masks, for `decode`.

        Raises:
            DatasetDMError: a mask for each word does not say all of an annotation of this kind.
        """
        raise DatasetDMError(
            f"The task '{self.name}' cannot be read off masks of words: set decoder.method to p_decoder in params.yaml."
        )

    def score(self, target: Any) -> float:
        """The quality of a predicted annotation as a whole, in [0, 1]; 1 if the decoder does not score it."""
        return 1.0

    def agreement(self, first: Prediction, second: Prediction) -> float:
        """How far two readings of an image agree, in [0, 1]; see `Comparable.agreement`."""
        return self._comparable(first).agreement(second.target)

    def join(self, readings: Sequence[Prediction]) -> Prediction:
        """What several readings of an image say together; see `Comparable.consensus`.

        Raises:
            DatasetDMError: annotations of this kind cannot be joined.
        """
        target = type(self._comparable(readings[0])).consensus([reading.target for reading in readings])
        return Prediction(target=target, score=self.score(target))

    def _comparable(self, reading: Prediction) -> Comparable:
        if not isinstance(reading.target, Comparable):
            raise DatasetDMError(
                f"Several readings of an image cannot be joined for the task '{self.name}', as "
                f"{type(reading.target).__name__} has no `agreement` and `consensus`: remove decoder.reading in "
                "params.yaml."
            )
        return reading.target

    def refine(self, prediction: Prediction, image: np.ndarray) -> Prediction:
        """The prediction, possibly improved with the pixels of the image (uint8, H x W x 3)."""
        return prediction
