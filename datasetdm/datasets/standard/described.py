"""An annotated image of a set without its pixels, for those who pass the file on as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasetdm.annotations.sample import Attribution


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a `Sample` says of an image, and where its file lies.

    Attributes:
        name: file name below the images folder, with suffix.
        path: the file, which may be missing or damaged: it has not been opened.
        size: (height, width) in pixels, of the upright image.
        caption: the prompt that describes the image, possibly empty.
        target: the annotation; the masks of objects are still encoded (`EncodedMasks`).
        attribution: of the real image that it shows, or of several (a splice), if they have any.
    """

    name: str
    path: Path
    size: tuple[int, int]
    caption: str
    target: Any
    attribution: tuple[Attribution, ...] = ()
