"""No test image is trained on, and no choice is made on one."""

import hashlib
from pathlib import Path

from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json


def check_no_leak(folder: Path) -> dict[str, int]:
    """Check that no image of a test set (test, iid) is in another set, and no dev image in a few-shot or oracle set.

    Images are compared by name and by the content of their files.

    Returns:
        How many images were compared, per set.

    Raises:
        DatasetDMError: an image is in two sets that must not share one.
    """
    images = {file.stem: _image_names(file) for file in sorted((folder / "annotations").glob("*.json"))}
    digests = {name: _digest(folder / "images" / name) for name in sorted(set().union(*images.values()))}
    for held_out, apart in (("test", {"test"}), ("iid", {"iid"}), ("dev", {"dev", "test", "iid"})):
        twin_of = {digests[name]: name for name in images.get(held_out, ())}
        for reader in sorted(images.keys() - apart):
            for name in sorted(images[reader]):
                if digests[name] in twin_of:
                    raise DatasetDMError(
                        f"{name} of the set '{reader}' is the same image as {twin_of[digests[name]]} of the "
                        f"set '{held_out}', which must be held out. Remove one of the two from the source's "
                        "annotation file and ingest again."
                    )
    return {subset: len(names) for subset, names in images.items()}


def _image_names(annotation_file: Path) -> set[str]:
    content = read_json(annotation_file, remedy="Ingest again.")
    return {image["file_name"] for image in content["images"]}


def _digest(image: Path) -> str:
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError:
        raise DatasetDMError(f"{image} is missing or cannot be read, though an annotation file lists it.") from None
