"""The images of a set without their labels, from a list in any of the standard formats."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from datasetdm.annotations.sample import Attribution
from datasetdm.datasets.standard.attribution import AttributionReader
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_long_json
from datasetdm.utils.images import read_image
from datasetdm.utils.paths import safe_join


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """An image without labels.

    Attributes:
        name: file name below the images folder.
        caption: possibly empty.
        image_id: id in the list.
        path: the file.
        attribution: where the image comes from and on what terms, if that is known.
    """

    name: str
    caption: str
    image_id: int
    path: Path
    attribution: tuple[Attribution, ...] = ()

    def read(self) -> np.ndarray:
        """The pixels, uint8, H x W x 3, RGB."""
        return read_image(self.path)

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What identifies the image without reading it: name, caption, id and size of the file in bytes."""
        return self.name, self.caption, self.image_id, self.path.stat().st_size


def load_unlabelled(root: Path, subset: str) -> list[Unlabelled]:
    """The images that `<root>/annotations/<subset>.json` lists; it ignores labels in the file.

    COCO's format and that of dense maps have the list of images in common.

    Raises:
        DatasetDMError: the list is missing or broken, or an image is missing.
    """
    file = annotation_file(root, subset)
    remedy = "Make it again with the stage that wrote it."
    content = read_long_json(file, "annotations", msgspec.Raw, remedy=remedy)[0]
    try:
        origins = AttributionReader(content)
        images = [
            Unlabelled(
                name=record["file_name"],
                caption=record.get("caption", ""),
                image_id=record["id"],
                path=safe_join(root / "images", record["file_name"]),
                attribution=origins.of(record),
            )
            for record in content["images"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise DatasetDMError(f"{file} is no list of images ({error!r}). {remedy}") from None
    missing = [image.name for image in images if not image.path.exists()]
    if missing:
        raise DatasetDMError(f"{root / 'images'} lacks {missing[0]} and {len(missing) - 1} more of {file}. {remedy}")
    return images
