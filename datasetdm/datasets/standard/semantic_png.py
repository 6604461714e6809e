"""The standard file of semantic maps: 8-bit index PNG, where a pixel is a label or 255 (ignore)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap, check_label_count
from datasetdm.datasets.standard.maps import MapCodec, MapSplit

#: Labels as 8-bit pixel values. Confidence is not written: what is read from a file is an annotation.
SEMANTIC_PNG = MapCodec(encode=lambda target: target.labels, decode=SemanticMap.of, bits=8)


def semantic_codec(categories: Sequence[Category]) -> MapCodec:
    """The codec of a data set; pixel values that stand for no category are a ValueError.

    Raises:
        DatasetDMError: more categories than an 8-bit map can hold.
    """
    check_label_count(len(categories))

    def decode(values: np.ndarray) -> SemanticMap:
        unknown = values[(values >= len(categories)) & (values != IGNORE)]
        if unknown.size:
            raise ValueError(f"the pixel value {unknown[0]} stands for none of the {len(categories)} categories")
        return SEMANTIC_PNG.decode(values)

    return replace(SEMANTIC_PNG, decode=decode)


def check_semantic_maps(split: MapSplit) -> dict[str, int]:
    """Read all maps of a set; the number of `images` and of the `categories` that occur in them."""
    images, present = 0, set()
    for _, semantic_map in split.targets():
        images += 1
        present |= set(semantic_map.category_labels())
    return {"images": images, "categories": len(present)}
