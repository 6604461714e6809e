"""Lists of names and captions that lie beside a data set's images, and how the files are found by them."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasetdm.datasets.split import Entry
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

#: In any case; the first one counts where several images have the same name up to the suffix.
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_SHOWN = 3


def require(paths: Iterable[Path], remedy: str) -> None:
    """Raise DatasetDMError for the first of the paths that is not there; `remedy` says where to get it."""
    for path in paths:
        if not path.exists():
            raise DatasetDMError(f"The data set is incomplete: {path} is missing. {remedy}")


def require_files(entries: Sequence[Entry], annotation_file: Path, remedy: str) -> None:
    """Raise DatasetDMError where there is no entry, or where images or annotations are missing, with how many."""
    if not entries:
        raise DatasetDMError(f"{annotation_file} lists no images. {remedy}")
    missing = [path for entry in entries for path in (entry.image, entry.annotation) if not path.is_file()]
    if missing:
        some = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise DatasetDMError(
            f"{annotation_file} lists {len(entries)} images, but {len(missing)} files of images or annotations are "
            f"missing ({some}). {remedy} To use a part only, remove the others from the list."
        )


def read_names(file: Path, remedy: str) -> list[str]:
    """The lines of a list, without blank ones.

    Raises:
        DatasetDMError: not readable, not text, or empty.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise DatasetDMError(f"{file} cannot be read ({error.strerror}). {remedy}") from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"{file} is not text in UTF-8. {remedy}") from None
    names = [line for line in lines if line]
    if not names:
        raise DatasetDMError(f"{file} lists nothing. {remedy}")
    return names


def read_captions(file: Path) -> dict[str, tuple[str, ...]]:
    """Captions by file name, of JSON `{name: caption}` or `{name: [captions]}`; none where there is no such file.

    Raises:
        DatasetDMError: broken, or of another shape.
    """
    if not file.exists():
        return {}
    remedy = "Correct it, or remove it: captions are then written from the categories."
    content = read_json(file, remedy=remedy)
    if not isinstance(content, dict):
        raise DatasetDMError(f"{file} is no JSON object of file names and captions. {remedy}")
    captions = {}
    for name, value in content.items():
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DatasetDMError(f"{file}: the captions of {name!r} are neither a text nor a list of texts. {remedy}")
        captions[name] = tuple(text.strip() for text in texts if text.strip())
    return {unicodedata.normalize("NFC", name): texts for name, texts in captions.items()} | captions


def captions_of(captions: Mapping[str, tuple[str, ...]], *names: str) -> tuple[str, ...]:
    """The captions of an image by the first of the names that has any, in whichever Unicode form."""
    for name in names:
        if found := captions.get(name) or captions.get(unicodedata.normalize("NFC", name)):
            return found
    return ()


def without_suffix(name: str) -> str:
    """The name less the suffix of an image; any other dot belongs to it (`street_jpg.rf.06d5`)."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name


def visible(paths: Iterable[Path]) -> list[Path]:
    """The paths in order, without hidden files, such as the `._x.png` that macOS leaves on other file systems."""
    return sorted(path for path in paths if not path.name.startswith("."))


class Finder:
    """Finds files by names out of a list, as file systems and programs do not agree on how to write them.

    Letters with accents have two forms in Unicode, of which macOS uses the other one than most lists (NFD and NFC),
    and cameras write `.JPG`. Every folder is listed once at most.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}

    def file(self, folder: Path, name: str) -> Path:
        """`folder / name`, or what differs from it only in its Unicode form or the case of its suffix."""
        path = folder
        for part in Path(name).parts:
            exact = path / part
            path = exact if exact.exists() else path / self._names(path).get(_key(part), part)
        return path

    def image(self, folder: Path, stem: str) -> Path:
        """The image of that name with any of `IMAGE_SUFFIXES`; where there is none, the path with the first of them."""
        paths = (self.file(folder, f"{stem}{suffix}") for suffix in IMAGE_SUFFIXES)
        return next((path for path in paths if path.is_file()), folder / f"{stem}{IMAGE_SUFFIXES[0]}")

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._folders:
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            self._folders[folder] = {_key(name): name for name in reversed(names)}
        return self._folders[folder]


def _key(name: str) -> str:
    path = Path(unicodedata.normalize("NFC", name))
    return path.stem + path.suffix.lower()
