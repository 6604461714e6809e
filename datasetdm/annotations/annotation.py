"""What every kind of annotation can do. Whoever changes an image needs to know no more of its annotation than this."""

from collections.abc import Collection, Sequence
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np


class Annotation(Protocol):
    """The annotation of one image: `Instances`, `SemanticMap`, `DepthMap` or `Persons`.

    Annotations are values: each method returns a new one and leaves the old one as it is.
    """

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """The annotation under an affine map, cropped to the output image.

        The convention is that of `cv2.warpAffine` without WARP_INVERSE_MAP, with nearest-neighbour sampling.

        Args:
            matrix: 2 x 3, from pixels of the source to pixels of the output.
            size: (height, width) of the output.
        """

    def zoomed(self, factor: float) -> Self:
        """The annotation as a lens of `factor` times the focal length sees it; the pixels have not moved yet."""

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """One annotation from several of the same image size that do not overlap, such as the tiles of a splice."""

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> tuple[np.ndarray, Self] | None:
        """Lay some objects of another image of the same size over this one (simple copy-paste, arXiv 2012.07177).

        Args:
            source: the annotation of the other image.
            labels: the categories that may be pasted.
            rng: chooses about half of the objects, and at least one.

        Returns:
            Where the objects lie (bool, H x W), and the annotation of the whole; None if there is nothing to paste.
        """

    def relabelled(self, table: np.ndarray) -> Self:
        """The annotation with new labels: `table` (int64) has one for each old label, possibly the same for several."""

    def object_labels(self) -> tuple[int, ...] | None:
        """The label of each object, crowds left out; None if the annotation does not list labelled objects."""

    def category_labels(self) -> tuple[int, ...] | None:
        """The labels of the categories in the image; None if the annotation has no categories."""


@runtime_checkable
class Comparable(Protocol):
    """An annotation of which several predictions of the same image, at the same size, can be compared and joined."""

    def agreement(self, other: Self) -> float:
        """How far two predictions agree, from 0 (in nothing) to 1 (they are the same); the order does not matter."""

    @classmethod
    def consensus(cls, readings: Sequence[Self]) -> Self:
        """What several predictions say together; of a single one what it says."""


@runtime_checkable
class Pictured(Protocol):
    """An annotation that people understand as a picture next to its image, such as a depth map."""

    def picture(self) -> np.ndarray:
        """The annotation in colours, uint8 H x W x 3."""


A = TypeVar("A", bound=Annotation)


def merge(parts: Sequence[A]) -> A:
    """One annotation from several of the same kind; see `Annotation.merge`."""
    return type(parts[0]).merge(parts)


def choose_some(count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose about half of `count` things, and at least one: bool, `count`."""
    chosen = rng.random(count) < 0.5
    chosen[rng.integers(count)] = True
    return chosen
