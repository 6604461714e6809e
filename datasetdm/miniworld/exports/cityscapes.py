"""Cityscapes, fine annotations: label ids of streets.

`leftImg8bit/train/aachen/aachen_000000_000000_leftImg8bit.png` with
`gtFine/train/aachen/aachen_000000_000000_gtFine_labelIds.png`, validation in `frankfurt`, and `captions.json` by the
name of the image file. The cities are names only.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasetdm.miniworld.catalog import STUFF, STUFF_INDEX, THING_INDEX, THINGS
from datasetdm.miniworld.exports.export import Export, Split, World, write_caption_file, write_picture
from datasetdm.miniworld.rendering import Render

CITIES: dict[Split, str] = {"train": "aachen", "val": "frankfurt"}

#: Official label ids; whatever is not here (mountains, animals, furniture, ...) is 0, unlabeled, and ignored. Sand is
#: terrain by Cityscapes' own definition ("grass, ..., soil or sand"). A traffic light includes its pole.
LABEL_IDS = {
    "road": 7,
    "house": 11,
    "traffic light": 19,
    "tree": 21,
    "grass": 22,
    "sand": 22,
    "sky": 23,
    "person": 24,
    "car": 26,
    "bus": 28,
}


def write_cityscapes(root: Path, world: World) -> None:
    """Writes both splits."""
    captions: dict[str, list[str]] = {}
    for split, city in CITIES.items():
        images, labels = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
        for shot in world.shots(split):
            stem = f"{city}_{shot.number // 1_000_000:06d}_{shot.number:06d}"
            write_picture(images / f"{stem}_leftImg8bit.png", shot.picture.image)
            write_picture(labels / f"{stem}_gtFine_labelIds.png", label_ids(shot.picture))
            captions[f"{stem}_leftImg8bit.png"] = shot.captions
    write_caption_file(root, captions)


export_cityscapes = Export("Cityscapes", write_cityscapes, ("leftImg8bit", "gtFine", "captions.json"), "street")


def label_ids(picture: Render) -> NDArray[np.uint8]:
    """H x W official label ids."""
    table = np.zeros(len(STUFF) + len(THINGS), np.uint8)
    for name, index in (STUFF_INDEX | THING_INDEX).items():
        table[index] = LABEL_IDS.get(name, 0)
    return table[picture.semantic_map]
