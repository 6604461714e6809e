"""What a task is: everything that differs between masks, depth and poses, behind one interface.

The shared loops (`decoder/trainer.py`, `synthesis/generate.py`, `transforms/splice.py`) know this interface alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.vocabulary import Vocabulary

NOT_FOUND = "not all that the prompt names was found"
NOTHING_ASKED: Mapping[int, int | None] = MappingProxyType({})

Guess = Callable[[tuple[int, int], Any], Any]


def some_of(count: int, rng: np.random.Generator) -> np.ndarray:
    """About half of `count` things, and at least one: bool, `count`."""
    chosen = rng.random(count) < 0.5
    chosen[rng.integers(count)] = True
    return chosen


class Evaluator(Protocol):
    """The field's own metric, fed one image at a time."""

    def add(self, target: Any, predicted: Any) -> None:
        """Take in one image: the true and the predicted annotation."""

    def compute(self) -> dict[str, float]:
        """The metrics over all images taken in; names as in `Task.primary_metric`."""


class Categorised(Protocol):
    """A loaded set that knows its categories."""

    @property
    def annotation_file(self) -> Path:
        """Where it came from."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """In label order."""


S = TypeVar("S", bound=Categorised)


def with_categories(split: S, categories: Sequence[Category]) -> S:
    """The split itself, whose categories have to be those of the benchmark.

    Raises:
        DatasetDMError: they are others, or have other names or ids.
    """
    if tuple(split.categories) != tuple(categories):
        raise DatasetDMError(
            f"{split.annotation_file} has other categories than this benchmark ({len(split.categories)} against "
            f"{len(categories)}, or other names or ids): make it again from the same data set."
        )
    return split


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A synthetic annotation after the filters.

    Attributes:
        target: what is left of the annotation.
        rejected: why the image is not used, or None where it is.
        scores: figures for the manifest (plain numbers).
    """

    target: Any
    rejected: str | None
    scores: dict[str, float]


class Task(ABC):
    """One kind of annotation: its files, its geometry, its learning and its measure.

    Args:
        categories: the data set's categories; the label of a category is its index.
        settings: what the task leaves open; a section of `config.TaskSettings` with the task's own name.
    """

    name: ClassVar[str]
    primary_metric: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    uses_queries: ClassVar[bool]  # switches on the P-Decoder's query transformer
    dense_channels: ClassVar[int] = 0  # channels of the P-Decoder's dense head; 0 switches it off
    takes_hints: ClassVar[bool] = False  # whether `hint` tells the downstream model something

    def __init__(self, categories: Sequence[Category], settings: Any = None):
        self.categories = tuple(categories)
        self.settings = settings

    @property
    def words(self) -> tuple[str, ...]:
        """The words whose cross-attention is read: the category names in label order, or none at all."""
        return tuple(category.noun for category in self.categories)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The classes that the decoder is asked for one by one, by name; None: it knows a fixed list of them."""
        return None

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics of a row (or several) of the leaderboard; the first is the primary one."""
        return (self.primary_metric,)

    @property
    def subjects(self) -> tuple[Category, ...]:
        """The categories that a prompt may name."""
        return self.categories

    @property
    def rare(self) -> tuple[int, ...]:
        """Labels of the categories of which `ingest.tail_images` allows few labelled images."""
        return ()

    def shown(self, target: Any) -> Any:
        """What of a real annotation the decoder and the choices on dev may see; all of it, unless a task hides some."""
        return target

    def labels_in(self, target: Any) -> tuple[int, ...] | None:
        """The label of each object of an annotation, crowds aside; None where it does not tell objects apart."""
        return None

    def categories_in(self, target: Any) -> tuple[int, ...] | None:
        """The labels of the categories that an annotation shows the decoder; None where it tells of none."""
        return self.labels_in(target)

    def hint(self, target: Any) -> Any:
        """What the downstream model is told of an image beside its pixels; nothing, unless the field's protocol
        gives something (top-down pose estimation: the persons' boxes)."""
        return None

    # --- files: <folder>/images/ and <folder>/annotations/<subset>.json, which lists the images and, where the
    # annotations are pictures themselves, names each of them with its digest.

    @abstractmethod
    def load(self, folder: Path, subset: str) -> Sequence[Sample]:
        """The samples of a subset; images are read when a sample is asked for."""

    @abstractmethod
    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write images (those not there yet) and annotations in the task's standard format."""

    @abstractmethod
    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Check a written subset (loads, ids unique, annotation inside image); counts, or DatasetDMError."""

    # --- geometry

    @abstractmethod
    def warp(self, target: Any, matrix: np.ndarray, size: tuple[int, int]) -> Any:
        """The annotation under the affine map `matrix` (2 x 3, source to output pixels), cut to (height, width).

        The convention is that of `cv2.warpAffine` without WARP_INVERSE_MAP, nearest sampling.
        """

    def zoomed(self, target: Any, factor: float) -> Any:
        """The annotation as seen through a lens of `factor` times the focal length, its pixels not moved yet."""
        return target

    @abstractmethod
    def merge(self, targets: Sequence[Any]) -> Any:
        """One annotation out of several of the same image size that do not overlap (tiles of a splice)."""

    def pasted(self, target: Any, source: Any, rng: np.random.Generator) -> tuple[np.ndarray, Any] | None:
        """Some objects of `source` laid over an image of the same size (simple copy-paste, arXiv 2012.07177).

        Returns:
            Where they lie (bool, H x W) and the annotation of the whole; None where there is nothing to paste.
        """
        return None

    # --- learning

    @abstractmethod
    def encode(self, target: Any, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """The annotation as training tensors at the resolution (height, width) of the mask features."""

    @abstractmethod
    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Weighted loss terms (`loss_ce`, `loss_mask`, ...) of a batch; their sum is minimised."""

    @abstractmethod
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """Predictions of a batch at (height, width).

        Args:
            outputs: what the P-Decoder returned.
            size: size of the image.
            allowed: per image the labels that its prompt names; None rules no class out.
        """

    def refine(self, prediction: Prediction, image: np.ndarray) -> Prediction:
        """The prediction after a look at the picture itself (uint8, H x W x 3), where the task has a use for it."""
        return prediction

    # --- judging

    @abstractmethod
    def accept(
        self, prediction: Prediction, settings: config.Synthesis, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """The filters of the synthetic set; they look at nothing but the prediction and the prompt.

        Args:
            prediction: what the P-Decoder sees.
            settings: thresholds.
            asked: label of each category that the prompt names -> the number of objects that it asks for, None where
                it does not say. With `require_prompted` each of them has to be there, where the annotation has
                categories, and in that number, where it has objects.
        """

    def trusted(self, found: Any, threshold: float, settings: config.Synthesis) -> Acceptance:
        """What a downstream model has found in an unlabelled image, as a label for another model to learn.

        The filters are those of `accept`, with `threshold` in the place of `score_threshold` and no `doubt_threshold`:
        the scores of another model have another scale. Tasks whose models say how certain they are of each part of an
        annotation leave out the parts below it.
        """
        stricter = settings.model_copy(update={"score_threshold": threshold, "doubt_threshold": None})
        return self.accept(Prediction(target=found, score=1.0), stricter)

    @abstractmethod
    def evaluator(self) -> Evaluator:
        """A fresh evaluator, for images of any sizes."""

    def baseline(self, targets: Iterable[Any]) -> Guess | None:
        """The trivial model that a trained one has to beat, made of the labelled images' annotations alone.

        It is a function of an image's (height, width) and hint; None where the trivial answer is to find nothing.
        """
        return None

    @abstractmethod
    def draw(self, image: np.ndarray, target: Any) -> np.ndarray:
        """The image (uint8 H x W x 3) with the annotation drawn over it, for people to look at."""
