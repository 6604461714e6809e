"""A folder of images and index masks: PNG whose pixel values are numbers of categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.pairs import MapNames, find_pairs, pictures_of
from datasetdm.datasets.native.index_png import UNKNOWN, UnknownValues, values_in
from datasetdm.datasets.native.voc import read_mask
from datasetdm.datasets.native.voc_names import BORDER, Legend, read_legend
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import is_colour_png, read_colours, read_map

MASKS = MapNames(
    folders=("masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "segmentation", "segm",
             "gt", "gtfine", "groundtruth", "ground_truth", "segmentationclass"),
    ends=("_mask", "_masks", "_label", "_labels", "_seg", "_segm", "_gt", "_labelids", "_annotation"),
    suffixes=(".png",),
)  # fmt: skip
NAMES_REMEDY = (
    "Write the categories into classes.txt, one per line in the order of the pixel values, 'background' (0) first, "
    "and put it into the imported folder or name it with --classes; labelme's class_names.txt and CVAT's labelmap.txt "
    "do as well."
)


def read_index_masks(root: Path, images: Sequence[Path], classes: Path | None, findings: Findings) -> Contents:
    """Read a folder of images with index masks.

    Args:
        root: the folder that was imported.
        images: further folders with the images.
        classes: the list of categories, if it lies elsewhere.
        findings: takes what is odd.
    """
    legend = find_legend(root, classes, findings)
    pairs = find_pairs(root, images, MASKS, findings)
    pictures = pictures_of(pairs, root)
    categories = () if legend is None else legend.categories
    return Contents(task="semantic", categories=categories, pictures=pictures, root=root, details={"legend": legend})


def find_legend(root: Path, classes: Path | None, findings: Findings) -> Legend | None:
    """What the pixel values stand for; None with a problem if nothing says it."""
    try:
        legend = read_legend(root, classes)
    except DatasetDMError as error:
        findings.problem(str(error))
        return None
    if legend.file is None:
        findings.problem(f"Nothing in {root} says what the pixel values of the masks stand for. {NAMES_REMEDY}")
        return None
    return legend


@dataclass(frozen=True)
class MaskReader:
    """Reads the masks of one export as labels.

    Attributes:
        legend: what the pixel values or colours stand for.
        binary: whether 255 is the one category there is, instead of the border of objects.
    """

    legend: Legend
    binary: bool = False

    @classmethod
    def of(cls, legend: Legend, masks: Sequence[Path]) -> Self:
        """The reader for these masks. With a single category, masks of 0 and 255 alone are binary."""
        if len(legend.categories) != 2:
            return cls(legend)
        seen: set[int] = set()
        for mask in masks:
            try:
                seen.update(values_in(_values(mask)).tolist())
            except DatasetDMError:
                continue
            if not seen <= {0, BORDER}:
                return cls(legend)
        return cls(legend, binary=seen == {0, BORDER})

    def read(self, mask: Path) -> np.ndarray:
        """Labels of a mask, uint8 H x W, 255 where nothing is known.

        Raises:
            UnknownValues: a value or colour that stands for no category.
            DatasetDMError: missing, damaged, or not an index mask.
        """
        if self.binary:
            return (_values(mask) == BORDER).astype(np.uint8)
        if is_colour_png(mask) and not self.legend.labels_of_colours:
            values = _values(mask)
            labels = self.legend.table[values]
            if (labels == UNKNOWN).any():
                raise UnknownValues(mask, list(map(str, np.unique(values[labels == UNKNOWN]).tolist())), NAMES_REMEDY)
            return labels.astype(np.uint8)
        return read_mask(mask, self.legend).labels


def _values(mask: Path) -> np.ndarray:
    """The numbers of a mask, uint8 H x W; grey in three equal channels counts as grey.

    Raises:
        DatasetDMError: missing, damaged, or in colours.
    """
    if not is_colour_png(mask):
        return read_map(mask, bits=8)
    colours = read_colours(mask)
    if (colours[..., :1] != colours).any():
        raise DatasetDMError(
            f"{mask} is in colours, and nothing says which colour is which category. Export index masks, or add "
            "labelmap.txt with lines such as 'dog:250,50,83::'."
        )
    return colours[..., 0]
