"""Names for the images of an import: without folders, each once, and no longer than file systems allow."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from datasetdm.datasets.importing.contents import Picture
from datasetdm.datasets.importing.files import normal
from datasetdm.datasets.native.listing import IMAGE_SUFFIXES

_LONGEST = 180  # bytes; a file system takes 255, and later stages put the name of the split in front


def file_names(pictures: Sequence[Picture], *, by_stem: bool = False) -> list[str]:
    """A name for each picture, that of its file where it can be.

    Args:
        pictures: of one import.
        by_stem: names have to differ before their suffix, because annotations have another one.
    """
    used: set[str] = set()
    names = []
    for picture in pictures:
        name = next(name for name in _candidates(picture) if _key(name, by_stem) not in used)
        used.add(_key(name, by_stem))
        names.append(name)
    return names


def _candidates(picture: Picture) -> Iterator[str]:
    """The file's name, with ever more of its path in front, and at last with numbers."""
    parts = PurePosixPath(picture.file.as_posix()).parts
    stem, suffix = picture.file.stem, picture.file.suffix
    stem = "".join(sign if sign.isprintable() and sign not in '\\:"' else "_" for sign in stem)
    if suffix.lower() not in IMAGE_SUFFIXES:
        suffix = ".png"  # any: images are recognised by what they hold
    yield short_name(stem, suffix)
    yield short_name(f"{parts[-2]}_{stem}" if len(parts) > 1 else stem, suffix)
    number = 2
    while True:
        yield short_name(f"{stem}_{number}", suffix)
        number += 1


def short_name(stem: str, suffix: str) -> str:
    """The name, with a digest in place of its middle if it is longer than file systems and later stages allow."""
    if len(f"{stem}{suffix}".encode()) <= _LONGEST:
        return f"{stem}{suffix}"
    digest = hashlib.sha256(stem.encode()).hexdigest()[:12]
    kept = stem.encode()[: _LONGEST - 20].decode(errors="ignore")
    return f"{kept}_{digest}{suffix}"


def _key(name: str, by_stem: bool) -> str:
    return normal(PurePosixPath(name).stem if by_stem else name)
