"""The images that an annotation file lists, looked for on disk: what is there, under which name, and what is not."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from datasetdm.errors import DatasetDMError
from datasetdm.utils.paths import join_below

_SHOWN = 3
_OFFICIAL = re.compile(r"([a-z]+\d{4}/)?(COCO_[a-z]+\d{4}_)?\d{12}\.jpg")  # COCO's own names, and LVIS's


def find_image(folder: Path, name: str) -> Path:
    """The file of a name out of an annotation file, below the folder; links are followed.

    A name with accents may be written in two ways (NFC and NFD): archives and file systems, macOS's above all, turn one
    into the other.

    Raises:
        DatasetDMError: the name leads out of the folder.
    """
    paths = [join_below(folder, spelling) for spelling in _spellings(name)]
    return next((path for path in paths if path.exists()), paths[0])


def missing_images(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the names that are not there; a link to a file that is not there counts as missing."""
    present: set[str] = set()
    spellings = [_spellings(name) for name in names]
    # Whole folders at a time: asking for a hundred thousand files one by one takes minutes on a network disk.
    for below in {os.path.dirname(spelling) for spelling in chain.from_iterable(spellings)}:
        if (folder / below).is_dir():
            with os.scandir(folder / below) as entries:
                present |= {
                    os.path.join(below, entry.name)
                    for entry in entries
                    if not entry.is_symlink() or os.path.exists(entry.path)
                }
    return [name for name, ways in zip(names, spellings, strict=True) if present.isdisjoint(ways)]


def check_complete(annotation_file: Path, folder: Path, names: Sequence[str], download: str) -> None:
    """Check that all images are there.

    Args:
        annotation_file: what lists the images, for messages.
        folder: of the images.
        names: of the images, below the folder.
        download: where to get the data set that the layout was made for; the message says it if the names are its own.

    Raises:
        DatasetDMError: no images at all, or some are missing: how many, their names, and what lies there instead.
    """
    if not names:
        raise DatasetDMError(f"{annotation_file} lists no images. Export it again together with its images.")
    missing = missing_images(folder, names)
    if not missing:
        return
    some = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    if all(_OFFICIAL.fullmatch(name) for name in names):
        remedy = f"The download is incomplete: {download}"
    else:
        remedy = " ".join([*_near_matches(folder, missing), "Put them there (links will do), or correct `file_name`."])
    raise DatasetDMError(
        f"{folder} lacks {len(missing)} of the {len(names)} images that {annotation_file} lists ({some}). {remedy} "
        "To use a part only, remove the other images from the annotation file."
    )


def _spellings(name: str) -> tuple[str, ...]:
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))))


def _near_matches(folder: Path, missing: Sequence[str]) -> Iterator[str]:
    """Sentences about files that may be the missing ones: broken links, other endings or case, other folders."""
    there: defaultdict[str, list[str]] = defaultdict(list)
    for place, _, files in os.walk(folder, followlinks=False):
        for file in files:
            path = PurePosixPath(os.path.relpath(os.path.join(place, file), folder))
            there[_key(path.name)].append(str(path))
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for name in missing:
        found = there.get(_key(PurePosixPath(name).name), [])
        if name in found:
            kind, example = "are links to files that are not there", name
        elif not found:
            continue
        elif beside := [path for path in found if os.path.dirname(path) == os.path.dirname(name)]:
            kind, example = "are there with another ending or case", f"{beside[0]} for {name}"
        else:
            kind, example = "seem to lie in another folder", f"{found[0]} for {name}"
        counts[kind] += 1
        examples.setdefault(kind, example)
    return (f"{count} of them {kind} ({examples[kind]})." for kind, count in counts.items())


def _key(name: str) -> str:
    """A file name without its ending, the same in whatever case and spelling."""
    return unicodedata.normalize("NFC", PurePosixPath(name).stem).casefold()
