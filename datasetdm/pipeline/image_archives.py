"""Images of published sets as archives, for DVC.

DVC hashes, stores and transfers every file by itself, so 80 000 images cost minutes at each look. A published set
therefore holds its images twice: as ordinary files, which people open and `.dvcignore` names, and in `archives/`, which
DVC tracks. After `dvc pull` or `dvc checkout` the files are missing or of another version until `restore_images` has
unpacked the archives.
"""

import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasetdm.errors import DatasetDMError
from datasetdm.utils.batches import batches
from datasetdm.utils.digests import digest_of_images, files_below
from datasetdm.utils.files import read_json, replacing, write_json
from datasetdm.utils.paths import safe_join

ARCHIVES = "archives"
CONTENTS = "contents.json"
IMAGE_FOLDERS = ("images", "rejected/images")  # of a published set, where it has them
SIZE = 1000  # images in an archive
_AT_A_TIME = 2**20  # bytes of an image that are read and written


def pack_images(folder: Path) -> None:
    """Write the images of a set into `archives/`, and a list of what is in them. Equal images give equal bytes."""
    contents = {
        name: {
            "digest": digest_of_images(folder / name),
            "archives": [archive.name for archive in _pack(folder, name)],
        }
        for name in IMAGE_FOLDERS
        if (folder / name).is_dir()
    }
    if contents:  # there is nothing in a set that no arm needs
        write_json(folder / ARCHIVES / CONTENTS, contents)


def has_images(folder: Path) -> bool:
    """Whether the images of a set are those of its archives, by name and size.

    A set without archives, which an older version of the project made, counts as whole.
    """
    return not any(True for _ in _missing(folder))


def restore_images(folder: Path) -> None:
    """Unpack the archives of a set where `has_images` says no.

    Raises:
        DatasetDMError: an archive is missing or damaged.
    """
    archives, remedy = folder / ARCHIVES, _remedy(folder)
    for images, content in _missing(folder):
        with replacing(images) as temporary:
            temporary.mkdir()
            for archive in content["archives"]:
                _unpack(safe_join(archives, archive), temporary, remedy)
            if digest_of_images(temporary) != content["digest"]:
                raise DatasetDMError(
                    f"The archives in {archives} do not hold the images that {archives / CONTENTS} lists. {remedy}"
                )


def _missing(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders whose images are not those of the archives, and what the archives hold of them."""
    file = folder / ARCHIVES / CONTENTS
    contents = read_json(file, remedy=_remedy(folder)) if file.exists() else {}
    for name, content in contents.items():
        images = folder / name
        if not images.is_dir() or digest_of_images(images) != content["digest"]:
            yield images, content


def _remedy(folder: Path) -> str:
    return f"Bring it back with `dvc checkout`, or remove {folder} and make the set again."


def _pack(folder: Path, name: str) -> Iterator[Path]:
    images = sorted(files_below(folder / name), key=lambda file: file[0].split("/"))
    for number, part in enumerate(batches(images, SIZE)):
        archive = folder / ARCHIVES / f"{name.replace('/', '-')}-{number:04d}.tar"
        archive.parent.mkdir(exist_ok=True)
        _write_archive(archive, part)
        yield archive


def _write_archive(archive: Path, images: Iterable[tuple[str, str]]) -> None:
    """Write images, each with its name in the archive and its path."""
    with tarfile.TarFile(archive, "w", format=tarfile.PAX_FORMAT, copybufsize=_AT_A_TIME) as tar:
        for name, path in images:
            # A new header: no owner and no time, so that the same images have the same bytes.
            member = tarfile.TarInfo(name)
            with open(path, "rb", buffering=0) as stream:
                member.size = os.fstat(stream.fileno()).st_size
                tar.addfile(member, stream)


def _unpack(archive: Path, folder: Path, remedy: str) -> None:
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                _write_member(tar, member, folder)
    except (OSError, tarfile.TarError) as error:
        raise DatasetDMError(f"{archive} is missing or damaged ({error}). {remedy}") from None


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write an image; links and devices, which no archive of ours holds, are left out."""
    source: Any = tar.extractfile(member) if member.isreg() else None
    if source is None:
        return
    path = safe_join(folder, member.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
