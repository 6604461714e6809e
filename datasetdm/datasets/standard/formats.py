"""The standard format of each kind of annotation: how a set is read, written and checked.

A set lies in `<folder>/images/` and `<folder>/annotations/<subset>.json`, which lists the images. Annotations that are
pictures themselves lie in `<folder>/maps/<subset>/`, and the list has a digest of each.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol, TypeVar

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.coco import CocoSplit, check_coco, load_coco
from datasetdm.datasets.standard.coco_keypoints import (
    CocoKeypointSplit,
    check_coco_keypoints,
    load_coco_keypoints,
    save_coco_keypoints,
)
from datasetdm.datasets.standard.coco_writing import join_coco, save_coco
from datasetdm.datasets.standard.depth_png import check_depth_maps, depth_codec
from datasetdm.datasets.standard.described import Described
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.datasets.standard.maps import MapCodec, MapSplit, join_maps, load_maps, save_maps
from datasetdm.datasets.standard.semantic_png import check_semantic_maps, semantic_codec
from datasetdm.errors import DatasetDMError
from datasetdm.task_parts import TASKS


class StandardFormat(Protocol):
    """The files of sets of one kind of annotation."""

    def load(self, folder: Path, subset: str) -> Sequence[Sample]:
        """The samples of a subset; an image is read when its sample is accessed.

        Raises:
            DatasetDMError: missing or broken files, or other categories than the benchmark's.
        """

    def describe(self, folder: Path, subset: str) -> Iterator[Described]:
        """The samples of a subset without their pixels; errors as in `load`, but no image file is opened."""

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write annotations, and the images that are not there yet; the same bytes for the same samples."""

    def join(self, folder: Path, subset: str, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
        """Put the annotations of a subset together out of folders that have some of its samples each.

        The result is what `save` would write for the samples that have one of the `names` (licences may be numbered
        otherwise), or for all of them. Nothing is decoded, and images are left alone.
        """

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Look through a written subset; counts, `images` among them.

        Raises:
            DatasetDMError: something does not load, or is not as it was written.
        """


def standard_format(settings: config.TaskSettings, categories: Sequence[Category]) -> StandardFormat:
    """The standard format of a task's annotations.

    Args:
        settings: of the task.
        categories: in label order; those of a set that is loaded have to be the same.
    """
    found: StandardFormat = resolve_name(TASKS[settings.name].format)(settings, categories)
    return found


class InstanceFormat:
    """`Instances` as COCO JSON with run-length encoded masks."""

    def __init__(self, settings: config.InstanceAnnotation, categories: Sequence[Category]):
        self.categories = tuple(categories)

    def load(self, folder: Path, subset: str) -> CocoSplit:
        """See `StandardFormat.load`."""
        return _with_categories(load_coco(*_coco_paths(folder, subset)), self.categories)

    def describe(self, folder: Path, subset: str) -> Iterator[Described]:
        """See `StandardFormat.describe`."""
        return _described(self.load(folder, subset))

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """See `StandardFormat.save`."""
        save_coco(*_coco_paths(folder, subset), samples, self.categories)

    def join(self, folder: Path, subset: str, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
        """See `StandardFormat.join`."""
        join_coco(annotation_file(folder, subset), [annotation_file(part, subset) for part in parts], names)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """See `check_coco`."""
        return check_coco(self.load(folder, subset))


class PersonFormat:
    """`Persons` as COCO JSON with keypoints and run-length encoded masks."""

    def __init__(self, settings: config.PoseAnnotation, categories: Sequence[Category]):
        self.categories = tuple(categories)

    def load(self, folder: Path, subset: str) -> CocoKeypointSplit:
        """See `StandardFormat.load`."""
        return _with_categories(load_coco_keypoints(*_coco_paths(folder, subset)), self.categories)

    def describe(self, folder: Path, subset: str) -> Iterator[Described]:
        """See `StandardFormat.describe`."""
        return _described(self.load(folder, subset))

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """See `StandardFormat.save`."""
        save_coco_keypoints(*_coco_paths(folder, subset), samples, self.categories)

    def join(self, folder: Path, subset: str, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
        """See `StandardFormat.join`."""
        join_coco(annotation_file(folder, subset), [annotation_file(part, subset) for part in parts], names)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """See `check_coco_keypoints`."""
        return check_coco_keypoints(self.load(folder, subset))


class MapFormat:
    """Annotations as PNG maps.

    Args:
        categories: in label order.
        codec: how an annotation becomes a map and back.
    """

    def __init__(self, categories: Sequence[Category], codec: MapCodec):
        self.categories, self.codec = tuple(categories), codec

    def load(self, folder: Path, subset: str) -> MapSplit:
        """See `StandardFormat.load`."""
        return _with_categories(load_maps(folder, subset, self.codec), self.categories)

    def describe(self, folder: Path, subset: str) -> Iterator[Described]:
        """See `StandardFormat.describe`."""
        return _described(self.load(folder, subset))

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """See `StandardFormat.save`."""
        save_maps(folder, subset, samples, self.categories, self.codec)

    def join(self, folder: Path, subset: str, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
        """See `StandardFormat.join`."""
        join_maps(folder, subset, parts, names)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Read all of a set; the number of `images`."""
        return {"images": sum(1 for _ in self.load(folder, subset))}


class SemanticFormat(MapFormat):
    """`SemanticMap` as 8-bit index PNG (255 = ignore); confidence is not kept."""

    def __init__(self, settings: config.SemanticAnnotation, categories: Sequence[Category]):
        super().__init__(categories, semantic_codec(categories))

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """See `check_semantic_maps`."""
        return check_semantic_maps(self.load(folder, subset))


class DepthFormat(MapFormat):
    """`DepthMap` as 16-bit PNG, in the finest unit that holds `max_depth`; see `depth_codec`."""

    def __init__(self, settings: config.DepthAnnotation, categories: Sequence[Category]):
        super().__init__(categories, depth_codec(settings.max_depth))
        self._min_depth, self._max_depth = settings.min_depth, settings.max_depth

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """See `check_depth_maps`."""
        return check_depth_maps(self.load(folder, subset), self._min_depth, self._max_depth)


def _coco_paths(folder: Path, subset: str) -> tuple[Path, Path]:
    return annotation_file(folder, subset), folder / "images"


def _described(split: CocoSplit | CocoKeypointSplit | MapSplit) -> Iterator[Described]:
    return (split.described(index) for index in range(len(split)))


Split = TypeVar("Split", CocoSplit, CocoKeypointSplit, MapSplit)


def _with_categories(split: Split, categories: tuple[Category, ...]) -> Split:
    """The split itself, whose categories have to be those of the benchmark."""
    if split.categories != categories:
        raise DatasetDMError(
            f"{split.annotation_file} has other categories than this benchmark ({len(split.categories)} against "
            f"{len(categories)}, or other names or ids): make it again from the same data set."
        )
    return split
