"""Lists of names and captions that lie beside a data set's images."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from datasetdm.errors import DatasetDMError
from datasetdm.formats.files import read_json
from datasetdm.formats.split import Entry

IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")
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
            f"missing ({some}): the download is incomplete. {remedy} To use a part only, remove the others from the "
            "list."
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
    return captions


def find_image(folder: Path, stem: str) -> Path:
    """The image of that name, with any of `IMAGE_SUFFIXES`; the path with the first of them where there is none."""
    paths = [folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])
