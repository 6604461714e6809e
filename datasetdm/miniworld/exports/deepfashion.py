"""DeepFashion-MultiModal (Jiang et al., "Text2Human", 2022): human parsing in 24 classes.

`images/MINIWORLD-Figures-id_00000001-01_1_front.jpg`, `segm/MINIWORLD-Figures-id_00000001-01_1_front_segm.png` (8-bit
index map) and `captions.json` with one caption by file name. The names follow the data set's: group of garments,
number of the outfit, view. The data set has no lists; `train.txt` and `val.txt` name the image files.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasetdm.miniworld.drawing.person import BODY_PARTS, person_view
from datasetdm.miniworld.exports.export import Export, Split, World, write_picture
from datasetdm.miniworld.layout import Scene
from datasetdm.miniworld.rendering import Render
from datasetdm.utils.files import write_json, write_text

#: Official indices of what the persons of the miniworld show.
CLASS_IDS = {
    "background": 0,
    "top": 1,
    "pants": 5,
    "headwear": 7,
    "footwear": 11,
    "hair": 13,
    "face": 14,
    "skin": 15,
}
_VIEWS = {"front": "1_front", "side": "2_side", "back": "3_back"}
_SPLITS: tuple[Split, ...] = ("train", "val")


def write_deepfashion(root: Path, world: World) -> None:
    """Writes both splits."""
    captions: dict[str, str] = {}
    for split in _SPLITS:
        names = []
        for shot in world.shots(split):
            stem = f"MINIWORLD-Figures-id_{shot.image_id(split):08d}-01_{_view(shot.scene)}"
            write_picture(root / "images" / f"{stem}.jpg", shot.picture.image)
            write_picture(root / "segm" / f"{stem}_segm.png", class_ids(shot.picture))
            names.append(f"{stem}.jpg")
            captions[f"{stem}.jpg"] = shot.captions[0]
        write_text(root / f"{split}.txt", "".join(f"{name}\n" for name in names))
    write_json(root / "captions.json", captions)


export_deepfashion = Export(
    "DeepFashion-MultiModal",
    write_deepfashion,
    ("images", "segm", "captions.json", "train.txt", "val.txt"),
    "figure",
)


def class_ids(picture: Render) -> NDArray[np.uint8]:
    """H x W indices of the 24 classes."""
    return np.array([CLASS_IDS[name] for name in BODY_PARTS], np.uint8)[picture.body_parts]


def _view(scene: Scene) -> str:
    """From where the person is seen; of several persons, or none, nothing is said."""
    persons = [o for o in scene.objects if o.category == "person"]
    return _VIEWS[person_view(persons[0])] if len(persons) == 1 else "7_additional"
