"""Images and their maps, paired by name: `images/a.jpg` and `masks/a.png`, or `a.jpg` and `a_mask.png`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasetdm.datasets.importing.contents import Picture
from datasetdm.datasets.importing.files import is_image, normal, subset_of, walk
from datasetdm.datasets.importing.findings import Findings

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "rgb", "jpegimages", "photos", "color", "colour", "input")
_IMAGE_ENDS = ("_rgb", "_image", "_img", "_leftimg8bit", "_color", "_colors")


@dataclass(frozen=True)
class MapNames:
    """How the maps of one kind are called.

    Attributes:
        folders: names of folders that hold maps.
        ends: ends of the names of maps that lie among images.
        suffixes: file suffixes of maps.
    """

    folders: tuple[str, ...]
    ends: tuple[str, ...]
    suffixes: tuple[str, ...]

    def is_map(self, file: Path, root: Path) -> bool:
        """Whether a file is a map by its place or its name."""
        if file.suffix.lower() not in self.suffixes:
            return False
        folders = [normal(part) for part in file.relative_to(root).parts[:-1]]
        return any(part in self.folders for part in folders) or normal(file.stem).endswith(self.ends)


@dataclass(frozen=True)
class Pair:
    """An image, its map, and the image's path below its folder."""

    image: Path
    map: Path
    name: str


def has_pairs(root: Path, names: MapNames) -> bool:
    """Whether a folder holds maps of this kind for some of its images."""
    return root.is_dir() and bool(find_pairs(root, (), names, Findings()))


def find_pairs(root: Path, images: Sequence[Path], names: MapNames, findings: Findings) -> list[Pair]:
    """The images that have a map; what has no counterpart is counted.

    Args:
        root: the folder that was imported.
        images: further folders with images.
        names: how maps are called.
        findings: takes what is odd.
    """
    maps: dict[tuple[str, ...], Path] = {}
    for file in walk(root):
        if names.is_map(file, root):
            key = _key(file, root, names)
            if key in maps:
                findings.odd("maps have the name of another one: left out", str(file.relative_to(root)), lost="image")
            maps.setdefault(key, file)
    used: set[tuple[str, ...]] = set()
    pairs = []
    for place in (root, *images):
        for file in walk(place):
            if not is_image(file) or names.is_map(file, place):
                continue
            own = [key for key in _keys(file, place, names) if key in maps]
            name = file.relative_to(place).as_posix()
            if own:
                used.add(own[0])
                pairs.append(Pair(image=file, map=maps[own[0]], name=name))
            else:
                findings.odd("images have no map: left out", name, lost="image")
    for key in maps.keys() - used:
        findings.odd("maps have no image: left out", str(maps[key].relative_to(root)))
    return pairs


def pictures_of(pairs: Iterable[Pair], root: Path) -> tuple[Picture, ...]:
    """The pairs as pictures with their maps; `root` is the folder that was imported."""
    return tuple(
        Picture(
            file=pair.image,
            name=pair.name,
            annotation=pair.map,
            subset=subset_of(pair.image, root) or subset_of(pair.map, root),
        )
        for pair in pairs
    )


def _keys(file: Path, root: Path, names: MapNames) -> Iterable[tuple[str, ...]]:
    """What the map of an image may be called: in the same subfolder, or anywhere by the same name."""
    key = _key(file, root, names)
    return (key, key[-1:]) if len(key) > 1 else (key,)


def _key(file: Path, root: Path, names: MapNames) -> tuple[str, ...]:
    """The path without what tells images from maps: `train/a` of `images/train/a.jpg` and `train/masks/a_mask.png`."""
    parts = [normal(part) for part in file.relative_to(root).parts[:-1]]
    stem = re.sub(rf"({'|'.join(map(re.escape, (*names.ends, *_IMAGE_ENDS)))})$", "", normal(file.stem))
    return (*(part for part in parts if part not in (*names.folders, *_IMAGE_FOLDERS)), stem)
