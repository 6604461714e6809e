"""What a set in a standard format is identified by, and how many images it has."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.datasets.standard.unlabelled import load_unlabelled
from datasetdm.utils.digests import file_digest


def annotated_set(root: Path, subset: str) -> list[Any]:
    """What an annotated set in a standard format is known by, for `digest`: its annotations, and its images' sizes.

    Raises:
        DatasetDMError: the list is missing or broken, or an image is missing.
    """
    file, images = annotation_file(root, subset), str(root / "images")
    listed = _images_of(root, subset)
    try:
        sizes = [os.stat(os.path.join(images, name)).st_size for name, _, _ in listed]
    except FileNotFoundError:
        load_unlabelled(root, subset)  # says which
        raise
    return [file, [(*image, size) for image, size in zip(listed, sizes, strict=True)]]


def count_images(root: Path, subset: str) -> int:
    """The number of images that `<root>/annotations/<subset>.json` lists; errors as in `annotated_set`."""
    return len(_images_of(root, subset))


def _images_of(root: Path, subset: str) -> tuple[tuple[str, str, int], ...]:
    """Name, caption and id of each image; the list, which takes seconds to parse, is parsed once in a process."""
    file = annotation_file(root, subset)
    return _parsed_images(root, subset, file_digest(file) if file.is_file() else b"")


@lru_cache(maxsize=64)
def _parsed_images(root: Path, subset: str, content: bytes) -> tuple[tuple[str, str, int], ...]:
    return tuple((image.name, image.caption, image.image_id) for image in load_unlabelled(root, subset))
