"""What every label reader is to trainings, stages and servers, whatever its method."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from datasetdm.annotations.sample import Sample
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.tasks.base import Task

#: Some labelled images, and the features that they are read from.
Labelled = tuple[Sequence[Sample], DiffusionFeatures]


class Decoder(nn.Module, ABC):
    """Reads annotations off diffusion features.

    Attributes:
        learnt: labels of the classes that it may find: those of its training examples, and those of an open vocabulary.
            None: all of them.
        finds_any_word: whether it finds classes that it was shown no example of.
    """

    learnt: tuple[int, ...] | None = None
    finds_any_word: ClassVar[bool] = False

    @abstractmethod
    def forward(self, features: DiffusionFeatures) -> dict[str, Any]:
        """Predict from a batch of features of any precision; `Task.decode` takes what this returns."""

    def calibrate(self, features: DiffusionFeatures) -> None:
        """Measure the scale of the backbone's channels on a batch of examples, once, before training."""

    def loss(
        self, task: Task, features: DiffusionFeatures, targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """The weighted loss terms of a batch; training minimises their sum.

        Args:
            task: what is learnt.
            features: of B views.
            targets: what `Task.encode` made of each view's annotation.
        """
        return task.loss(self(features), targets)

    def choose(self, task: Task, labelled: Iterable[Labelled]) -> None:
        """Set what a method without training takes from the labelled images; nothing if it needs none.

        Args:
            task: what is read.
            labelled: batches of whole labelled images; their features are read when they are asked for.
        """
