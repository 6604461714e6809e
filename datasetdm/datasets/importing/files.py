"""The files of an export: images found by the name that an annotation gives them, what they hold, and their split.

A name from an annotation file is only compared with files that lie below the folders of the import. It is never joined
to a path, so that no name leads out of these folders.
"""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from datasetdm.datasets.importing.contents import Subset
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_image

#: Files that may be images. What they are shows when they are opened.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
_SPLIT_WORDS: dict[str, Subset] = {
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "test", "testing"), "val"),
}
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Look:
    """What an image file holds.

    Attributes:
        size: (height, width) of the upright image; None if it cannot be read.
        digest: of the file's bytes.
        problem: why it cannot be read; empty if it can.
    """

    size: tuple[int, int] | None
    digest: str
    problem: str = ""


@cache
def look_at(file: Path) -> Look:
    """Decode an image once; readers and checks ask for it again."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        height, width = read_image(file).shape[:2]
    except (DatasetDMError, OSError) as error:
        return Look(size=None, digest="", problem=str(error))
    return Look(size=(height, width), digest=digest)


def walk(root: Path) -> Iterator[Path]:
    """All files below a folder, sorted; hidden ones (`._a.jpg` of macOS) and `__MACOSX` are left out.

    Links are followed, but into every folder once: a link may lead to a folder that holds it.
    """
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def is_image(file: Path) -> bool:
    """Whether its suffix is that of an image."""
    return file.suffix.lower() in IMAGE_SUFFIXES


class ImageIndex:
    """The image files below some folders, found by names as exports write them.

    Exports write `a.jpg`, `images/a.jpg`, `images\\a.jpg`, `/home/someone/project/a.jpg`, `../../upload/1/a.jpg` or
    `a%20b.jpg`. All mean the file whose path has the longest end in common with the name.

    Args:
        roots: folders that hold the images.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._files: defaultdict[str, list[Path]] = defaultdict(list)
        for file in dict.fromkeys(file for root in roots for file in walk(root) if is_image(file)):
            self._files[normal(file.name)].append(file)

    def find(self, name: str, near: Path) -> list[Path]:
        """The files that a name may mean: none, one, or several that fit equally well.

        Args:
            name: as the annotation file writes it.
            near: the annotation file. Of files that fit equally well the one in its folder is meant, or in a folder
                that its name contains (`instances_train2017.json`: `train2017/`).
        """
        found = self._candidates(name) or self._candidates(unquote(name))
        if len(found) > 1:
            beside = [file for file in found if file.parent == near.parent]
            named = [file for file in found if file.parent.name and file.parent.name in near.stem]
            found = beside or named or found
        return found

    def _candidates(self, name: str) -> list[Path]:
        wanted = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
        if not wanted:
            return []
        files = self._files.get(normal(wanted[-1]), [])
        scores = [_common_end(file.parts, wanted) for file in files]
        best = [file for file, score in zip(files, scores, strict=True) if score == max(scores)]
        return [file for file in best if file.name == wanted[-1]] or best


def subset_of(file: Path, root: Path) -> Subset | None:
    """The side of the split that a path tells: `train/a.jpg`, `images/val2017/a.jpg`, `instances_val.json`.

    `test` counts as validation: both are held out.
    """
    try:
        parts = file.relative_to(root).parts or (file.name,)
    except ValueError:
        parts = file.parts[-2:]
    for part in (*reversed(parts[:-1]), *((Path(parts[-1]).stem,) if file.suffix == ".json" else ())):
        for word in _WORD.findall(part.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return None


def normal(text: str) -> str:
    """A part of a path for comparison: one Unicode form, no difference between capital and small letters."""
    return unicodedata.normalize("NFC", text).casefold()


def _common_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    """How many parts two paths have in common, counted from their ends."""
    same = (normal(own) == normal(other) for own, other in zip(reversed(parts), reversed(wanted), strict=False))
    return sum(1 for _ in takewhile(bool, same))
