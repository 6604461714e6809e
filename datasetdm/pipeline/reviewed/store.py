"""The labels that a person has corrected: an annotated set that `ingest` adds to the real images."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from datasetdm.arms import DRAWN, LABELLED, REVIEWED, Source
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import link, read_json
from datasetdm.utils.program import program

#: What can be reviewed. Dev and test decide, so that nobody corrects them after a model has said what it expects there.
REVIEWABLE: dict[str, Source] = {"synthetic": DRAWN, "real": LABELLED}

SUBSET = REVIEWED.name
ORIGINS = "origins.json"  # image -> the set and the image that it corrects
DRAWN_NAMES = f"{SUBSET}_synthetic_"  # what the names of corrected images begin with that were drawn
NOTE = "reviewed.json"  # the same, in the ingested folder


def has_reviewed(folder: Path) -> bool:
    """Whether a folder of reviews, or an ingested one, has corrected labels."""
    return annotation_file(folder, SUBSET).exists()


def add_reviewed(reviews: Path, folder: Path) -> int:
    """Link the corrected labels and their images into a folder that is being ingested; returns how many images."""
    if not has_reviewed(reviews):
        return 0
    count = 0
    for image in sorted((reviews / "images").iterdir()):
        link(image, folder / "images" / image.name)
        count += 1
    link(annotation_file(reviews, SUBSET), annotation_file(folder, SUBSET))
    maps = reviews / "maps" / SUBSET
    if maps.is_dir():
        shutil.copytree(maps, folder / "maps" / SUBSET, copy_function=link)
    link(reviews / ORIGINS, folder / NOTE)
    return count


def corrected_images(real: Path) -> dict[str, set[str]]:
    """Set (`synthetic`, `real`) -> the images of it that the corrected labels of an ingested folder replace.

    Raises:
        DatasetDMError: the record of them is missing or damaged.
    """
    remedy = f"Run `{program()} ingest` again."
    origins = read_json(real / NOTE, remedy=remedy)
    found: dict[str, set[str]] = {}
    if not isinstance(origins, Mapping):
        raise DatasetDMError(f"{real / NOTE} is damaged. {remedy}")
    for origin in origins.values():
        found.setdefault(str(origin["set"]), set()).add(str(origin["image"]))
    return found
