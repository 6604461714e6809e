"""How many images annotated sets have, and what they are known by, without reading their annotations where possible.

A published folder has a record of its sets (`describe_sets`). The record counts as long as neither a set's annotation
file nor the folder of images has changed since it was written; otherwise the annotation file is parsed, which takes
seconds for a large set.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.publish import RECORD
from datasetdm.utils.digests import digest, digest_of_images, file_digest
from datasetdm.utils.files import read_json


class AnnotatedSets:
    """A look at annotated sets; what was looked at once is kept, so make a new one when files may have changed.

    A set is `<root>/annotations/<subset>.json` with the images in `<root>/images/`.
    """

    def __init__(self) -> None:
        self.identity = cache(self._identity)
        self.count = cache(self._count)
        self._record_of = cache(_current_record)

    def _identity(self, root: Path, subset: str) -> str:
        """A digest of the annotations and of the names and sizes of the images.

        Raises:
            DatasetDMError: the annotation file is missing or broken, or an image is missing.
        """
        known = self._known(root, subset)
        return str(known["digest"]) if known else digest(*annotated_set(root, subset))

    def _count(self, root: Path, subset: str) -> int:
        """The number of images; errors as in `identity`."""
        known = self._known(root, subset)
        return int(known["images"]) if known else count_images(root, subset)

    def _known(self, root: Path, subset: str) -> dict[str, Any] | None:
        file, known = annotation_file(root, subset), self._record_of(root).get(subset)
        if known is None or not file.is_file() or file_digest(file).hex() != known["annotations"]:
            return None
        return known


def describe_sets(folder: Path) -> dict[str, Any]:
    """What the record of a published folder says of its annotated sets.

    Returns:
        `image_files`: a digest of the names and sizes of all images. `sets`: subset -> number of `images`, sha256 of
        the file of `annotations`, `digest` (see `AnnotatedSets.identity`).
    """
    subsets = sorted(file.stem for file in (folder / "annotations").glob("*.json"))
    return {
        "image_files": digest_of_images(folder / "images"),
        "sets": {
            subset: {
                "images": count_images(folder, subset),
                "annotations": file_digest(annotation_file(folder, subset)).hex(),
                "digest": digest(*annotated_set(folder, subset)),
            }
            for subset in subsets
        },
    }


def _current_record(root: Path) -> dict[str, Any]:
    """The sets in the folder's record; none if there is no record, or if the images have changed since."""
    try:
        record = read_json(root / RECORD, remedy="")
        sets, image_files = dict(record["sets"]), record["image_files"]
    except (DatasetDMError, KeyError, TypeError, ValueError):  # a unit has none
        return {}
    return sets if image_files == digest_of_images(root / "images") else {}


def check_accepted(context: Context, folder: Path, subsets: Iterable[str], kind: str) -> dict[str, int]:
    """Subset -> number of images, of sets that the filters of the synthetic set have let through.

    Raises:
        DatasetDMError: annotations do not load, or nothing of a set was accepted; `kind` names its images.
    """
    task = context.task()
    counts = {subset: standard_format(*task.kind).check(folder, subset)["images"] for subset in subsets}
    if not all(counts.values()):
        empty = [subset for subset, count in counts.items() if count == 0]
        raise DatasetDMError(
            f"No {kind} image of {context.benchmark} was accepted for {', '.join(empty)}: lower "
            "synthesis.filter.score_threshold or synthesis.filter.min_area in params.yaml, or train the decoder for "
            "longer."
        )
    return counts
