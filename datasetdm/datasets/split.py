"""What ingestion asks of any native data set: images with labels, captions and annotations, read one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, overload

from datasetdm.annotations.sample import Category, Sample
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_image


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """An annotation that is left out, and why.

    Attributes:
        annotation_id: id of the annotation.
        image_id: id of its image.
        reason: why.
        partly: a part is left out alone, such as a keypoint of a person, and the object stays.
    """

    annotation_id: int
    image_id: int
    reason: str
    partly: bool = False


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What becomes of the annotated objects of an image, as far as it shows before they are drawn.

    Attributes:
        objects: those that are used.
        crowds: crowd regions (COCO's `iscrowd`), neither learnt nor evaluated.
        boxes_only: objects with a box where masks are needed; treated as crowds.
        rejected: reason -> number of objects left out for it.
    """

    objects: int = 0
    crowds: int = 0
    boxes_only: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


class Split(Protocol):
    """One split of a data set in its native layout. Opening it reads lists, asking for a sample reads files.

    Attributes:
        categories: a label is an index into them.
        crowds: what crowd regions are: neither learnt nor evaluated ("ignore", as COCO does), or objects
            ("as_objects", for programs that write painted masks so).
    """

    categories: tuple[Category, ...]
    crowds: Literal["ignore", "as_objects"]

    @property
    def annotation_file(self) -> Path:
        """The file (or folder) that lists the images, for messages."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def compact(self, index: int) -> Sample:
        """The same, but with masks of objects still encoded (`EncodedMasks`), so that memory holds one at a time."""

    def name_of(self, index: int) -> str:
        """A file name for the image, unique in the data set, without folders."""

    def id_of(self, index: int) -> int:
        """The image's id, above 0."""

    def path_of(self, index: int) -> Path:
        """The image file."""

    def group_of(self, index: int) -> str:
        """What the image shares with others that look like it: its drive, room or outfit; its own name if nothing."""

    def labels_of(self, index: int) -> tuple[int, ...]:
        """Labels of the categories in the image, one per object if the data set lists objects."""

    def tally_of(self, index: int) -> Tally:
        """What becomes of the objects that are annotated in the image; no file is read for it."""

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
        read_target: the annotation of an entry, with a `size` (height, width); DatasetDMError if it cannot be read.
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
        self.crowds: Literal["ignore", "as_objects"] = "ignore"
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
        height, width = target.size
        if (height, width) != image.shape[:2]:
            raise DatasetDMError(
                f"{entry.annotation} is {width} x {height} pixels, but {entry.image} is {image.shape[1]} x "
                f"{image.shape[0]}: {size_remedy(image.shape, (height, width))} Or take the image out of "
                f"{self.annotation_file}."
            )
        caption = entry.captions[0] if entry.captions else ""
        return Sample(name=entry.name, image=image, caption=caption, target=target, image_id=self.id_of(index))

    def compact(self, index: int) -> Sample:
        """The sample: its annotation is one map."""
        return self[index]

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

    def tally_of(self, index: int) -> Tally:
        """Nothing: a map does not list objects."""
        return Tally()

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """None: a map is used whole or refused whole."""
        return ()


def size_remedy(found: Sequence[int], said: Sequence[int]) -> str:
    """What to do about an image whose (height, width, ...) is not what its annotation says."""
    if tuple(found[:2]) != tuple(said[:2])[::-1]:
        return "put the original image in its place, or correct the annotation."
    return (
        "the sides are swapped, most likely by the photo's EXIF orientation, which the program that wrote the "
        "annotation did not follow, or which was lost or added since. Turn the photos upright and remove the tag "
        "(`mogrify -auto-orient *.jpg`) and export the annotation from those; where it was drawn on the pixels as they "
        "lie, remove the tag alone (`exiftool -Orientation= *.jpg`)."
    )
