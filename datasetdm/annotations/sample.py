"""An annotated image, its categories, and where it comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Category:
    """One class of a data set, as its annotation file has it.

    `id` is the data set's own (official, possibly non-contiguous) id; the *label* of a category, as
    used in tensors, is its index in the data set's list of categories. `frequency` is LVIS's: 'r', 'c' or 'f'
    (rare, common, frequent: in up to 10, up to 100 or more training images), empty if the file does not say. A text
    that has one of the `synonyms` mentions the category, too.
    """

    id: int
    name: str
    supercategory: str = ""
    frequency: str = ""
    synonyms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", tuple(self.synonyms))  # JSON has lists

    @property
    def noun(self) -> str:
        """The name as a prompt has it: `bell pepper` of LVIS's `bell_pepper`, `bow (weapon)` of `bow_(weapon)`.

        The remark in brackets stays: without it several categories would read the same, and a prompt would ask for
        the wrong one.
        """
        return " ".join(self.name.replace("_", " ").split())


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where a real image comes from, and on what terms it may be used, in COCO's words.

    Attributes:
        file_name: the image that this says it of.
        fields: `coco_url`, `flickr_url`, `date_captured` and the like of COCO's image record, as they stand there.
        license: COCO's record of the licence (`id`, `name`, `url`); empty if none is given.
        info: COCO's record of the data set (`description`, `url`, `contributor`, ...); empty if there is none.
    """

    file_name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


def join_attributions(parts: Iterable[Iterable[Attribution]]) -> tuple[Attribution, ...]:
    """The attributions of an image that shows several images, each once."""
    found: list[Attribution] = []  # attributions hold dictionaries, so that a set cannot hold them
    for part in parts:
        found.extend(item for item in part if item not in found)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One annotated image.

    Attributes:
        name: file name below the images folder, with suffix.
        image: uint8, H x W x 3, RGB.
        caption: the prompt that describes the image, possibly empty.
        target: the annotation, an `Annotation` of the task's kind (`Instances`, `SemanticMap`, `DepthMap`, `Persons`).
        image_id: id in the annotation file.
        attribution: of the real image that it shows, or of several (a splice), if they have any.
    """

    name: str
    image: np.ndarray
    caption: str
    target: Any
    image_id: int = 0
    attribution: tuple[Attribution, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the P-Decoder finds in one image, before the filters.

    Attributes:
        target: the predicted annotation, an `Annotation` of the task's kind.
        score: the quality of the whole in [0, 1] (mean object score for `instance` and `pose`, 0 if empty).
        agreement: if it was read in several ways, how well they agree, in [0, 1], by the column of the manifest.
    """

    target: Any
    score: float
    agreement: Mapping[str, float] = field(default_factory=dict)
