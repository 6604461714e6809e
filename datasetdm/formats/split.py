"""What ingestion asks of any native data set: images with labels, captions and annotations, read one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from datasetdm.errors import DatasetDMError
from datasetdm.formats.coco_records import Rejection
from datasetdm.formats.images import read_image
from datasetdm.structures import Category, Sample


class Split(Protocol):
    """One split of a data set in its native layout. Opening it reads lists, asking for a sample reads files.

    Attributes:
        categories: a label is an index into them.
    """

    categories: tuple[Category, ...]

    @property
    def annotation_file(self) -> Path:
        """The file (or folder) that lists the images, for messages."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def name_of(self, index: int) -> str:
        """A file name for the image, unique in the data set, without folders."""

    def id_of(self, index: int) -> int:
        """The image's id, above 0."""

    def path_of(self, index: int) -> Path:
        """The image file."""

    def group_of(self, index: int) -> str:
        """What the image shares with others that look like it: its drive, room or outfit; its own name if nothing."""

    def labels_of(self, index: int) -> tuple[int, ...]:
        """Labels of the categories in the image, one per object where the data set tells objects apart."""

    def captions_of(self, index: int) -> tuple[str, ...]:
        """All captions of the image, possibly none."""

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """The annotations of the image that cannot be used, and why."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a `FileSplit`.

    Attributes:
        name: file name, unique in the data set, without folders.
        image: the image file.
        annotation: the file of its annotation.
        captions: possibly none.
        group: what it shares with images that look like it, see `Split.group_of`; empty if nothing.
    """

    name: str
    image: Path
    annotation: Path
    captions: tuple[str, ...] = ()
    group: str = ""


class FileSplit(Sequence[Sample]):
    """A split whose annotations are one file per image: maps of categories or of depth.

    Args:
        annotation_file: the file or folder that lists the images, for messages.
        categories: in label order.
        entries: the images; two of the same name are a DatasetDMError.
        read_target: the annotation (`SemanticMap`, `DepthMap`) of an entry; DatasetDMError where it cannot be read.
        labels_of: the labels of the categories in an entry.
    """

    def __init__(
        self,
        annotation_file: Path,
        categories: Sequence[Category],
        entries: Sequence[Entry],
        *,
        read_target: Callable[[Entry], Any],
        labels_of: Callable[[Entry], tuple[int, ...]],
    ) -> None:
        self.annotation_file = annotation_file
        self.categories = tuple(categories)
        self.entries = tuple(entries)
        self._read_target = read_target
        self._labels_of = labels_of
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DatasetDMError(f"{annotation_file} lists the image {twice} twice: remove one of the two.")

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample (or several).

        Raises:
            DatasetDMError: image or annotation is missing or damaged, or they differ in size.
        """
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        entry = self.entries[index]
        image, target = read_image(entry.image), self._read_target(entry)
        height, width = _size_of(target)
        if (height, width) != image.shape[:2]:
            raise DatasetDMError(
                f"{entry.annotation} is {width} x {height} pixels, but {entry.image} is {image.shape[1]} x "
                f"{image.shape[0]}: put the original files in their place, or take the image out of "
                f"{self.annotation_file}."
            )
        caption = entry.captions[0] if entry.captions else ""
        return Sample(name=entry.name, image=image, caption=caption, target=target, image_id=self.id_of(index))

    def name_of(self, index: int) -> str:
        """See `Split.name_of`."""
        return self.entries[index].name

    def id_of(self, index: int) -> int:
        """Images are numbered from 1."""
        return index + 1

    def path_of(self, index: int) -> Path:
        """The image file."""
        return self.entries[index].image

    def group_of(self, index: int) -> str:
        """See `Split.group_of`."""
        entry = self.entries[index]
        return entry.group or entry.name

    def labels_of(self, index: int) -> tuple[int, ...]:
        """Labels of the categories in the image."""
        return self._labels_of(self.entries[index])

    def captions_of(self, index: int) -> tuple[str, ...]:
        """All captions of the image, possibly none."""
        return self.entries[index].captions

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """None: a map is used whole or refused whole."""
        return ()


def _size_of(target: Any) -> tuple[int, int]:
    values: np.ndarray = target.labels if hasattr(target, "labels") else target.depth
    return values.shape[0], values.shape[1]
