"""What the depth data sets share: lists of images with their depth maps, and a split by place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasetdm.datasets.native.listing import Finder, captions_of, read_names, require_files
from datasetdm.datasets.split import Entry
from datasetdm.errors import DatasetDMError
from datasetdm.utils.paths import check_name

HELD_OUT = slice(1, None, 5)  # of the sorted places: two are enough for one on either side
NO_DEPTH = "None"  # stands in a list for the depth map that an image does not have
LIST_REMEDY = (
    "Get the list that BTS (arXiv 1907.10326) and its successors use, a line 'image depth_map focal_length' per image, "
    "or set `source.root` in params.yaml to where it lies."
)
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its depth map.

    Attributes:
        image: path below the folder of the images.
        depth: path below the folder of the depth maps.
        place: where it was taken; images of one place look alike and must not be on both sides of a split.
    """

    image: str
    depth: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What the lists of a data set say of one split.

    Attributes:
        file: the list that the split comes from.
        pairs: the images of the split.
        everything: the images of both splits.
        is_test_list: whether `file` is a list of test images, and not of training images.
    """

    file: Path
    pairs: list[Pair]
    everything: list[Pair]
    is_test_list: bool


def read_listing(
    root: Path,
    split: Literal["train", "val"],
    train_names: Sequence[str],
    test_names: Sequence[str],
    place_of: Callable[[str], str],
) -> Listing:
    """A split by the data set's own lists, or, where there is none of test images, by place (`split_by_place`).

    Args:
        root: folder of the lists.
        split: `train` or `val`.
        train_names: file names that the list of training images may have; the first one found is read.
        test_names: the same for the test images.
        place_of: the place of an image, of its path in the list; ValueError where the path does not tell.

    Raises:
        DatasetDMError: no list, a broken one, or lists that share a place.
    """
    train_file, test_file = _find(root, train_names), _find(root, test_names)
    if train_file is None:
        raise DatasetDMError(f"The data set is incomplete: {root} holds no {' or '.join(train_names)}. {LIST_REMEDY}")
    train = _read_pairs(train_file, place_of)
    if test_file is None:
        chosen = split_by_place(train_file, train, split)
        return Listing(file=train_file, pairs=chosen, everything=train, is_test_list=False)
    test = _read_pairs(test_file, place_of)
    shared = sorted({pair.place for pair in train} & {pair.place for pair in test})
    if shared:
        some = ", ".join(shared[:_SHOWN]) + (", ..." if len(shared) > _SHOWN else "")
        raise DatasetDMError(
            f"{train_file} and {test_file} share {len(shared)} places ({some}): what is tested on must not be trained "
            "on. Remove those lines from one of the two."
        )
    file, chosen = (train_file, train) if split == "train" else (test_file, test)
    return Listing(file=file, pairs=chosen, everything=[*train, *test], is_test_list=split == "val")


def split_by_place(file: Path, pairs: Sequence[Pair], split: Literal["train", "val"]) -> list[Pair]:
    """The part of a list (or folder) that is `train` or `val`, where the data set itself says nothing of that.

    Of the places in alphabetical order the second and every fifth after it are held out.

    Raises:
        DatasetDMError: `val` of a single place.
    """
    held_out = set(sorted({pair.place for pair in pairs})[HELD_OUT])
    if split == "val" and not held_out:
        raise DatasetDMError(
            f"{file} has images of a single place ({pairs[0].place}), so that none can be held out for validation: "
            "add images of other places, or a list of test images."
        )
    return [pair for pair in pairs if (pair.place in held_out) == (split == "val")]


def entries_of(
    file: Path,
    pairs: Iterable[Pair],
    images_dir: Path,
    depth_dir: Path,
    name_of: Callable[[str], str],
    captions: Mapping[str, tuple[str, ...]],
) -> list[Entry]:
    """The listed images with their depth maps, which all have to be there.

    Args:
        file: the list, for messages.
        pairs: what it lists.
        images_dir: folder of the images.
        depth_dir: folder of the depth maps.
        name_of: the name without folders of an image, of its path in the list.
        captions: by that name or by that path.

    Raises:
        DatasetDMError: a path that leaves its folder, or files that are missing, with how many.
    """
    entries, finder = [], Finder()
    for pair in pairs:
        for path in (pair.image, pair.depth):
            check_name(path, where=str(file))
        name = name_of(pair.image)
        entries.append(
            Entry(
                name=name,
                image=finder.file(images_dir, pair.image),
                annotation=finder.file(depth_dir, pair.depth),
                captions=captions_of(captions, name, pair.image),
                group=pair.place,
            )
        )
    require_files(entries, file, "Fetch the missing files.")
    return entries


def _find(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def _read_pairs(file: Path, place_of: Callable[[str], str]) -> list[Pair]:
    """The lines of a list; a slash in front of a path stands for the data set's own folder."""
    pairs = []
    for line in read_names(file, LIST_REMEDY):
        fields = line.split()
        if len(fields) not in (2, 3):
            raise DatasetDMError(f"{file}: the line {line[:100]!r} is not 'image depth_map focal_length'. Correct it.")
        image, depth = (path.removeprefix("/") for path in fields[:2])
        try:
            place = place_of(image)
        except ValueError as error:
            raise DatasetDMError(f"{file} lists {image[:100]!r}, {error}. Correct or remove that line.") from None
        if depth != NO_DEPTH:
            pairs.append(Pair(image=image, depth=depth, place=place))
    if not pairs:
        raise DatasetDMError(f"{file} lists no image that has a depth map. {LIST_REMEDY}")
    return pairs
