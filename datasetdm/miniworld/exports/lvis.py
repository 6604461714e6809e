"""LVIS v1 (arXiv 1908.03195): instances of frequent, common and rare categories on COCO's images.

`train2017/000000000001.jpg`, ..., `val2017/` and `lvis_v1_{train,val}.json`. Images are found by the end of their
`coco_url`, whose host does not exist. Every category was looked for in every image, so all that are not there are
negative and none is not exhaustive. Masks are run-length encodings rather than LVIS's polygons, which are not exact.
"""

from collections import Counter
from pathlib import Path

from datasetdm.miniworld.catalog import THING_BY_NAME
from datasetdm.miniworld.exports.coco import FOLDERS, Record, image_record, mask_record, write_annotations
from datasetdm.miniworld.exports.export import MOST_IMAGES, Export, Split, World, write_caption_file, write_picture

#: The most training images in which a rare and a common category occur.
RARE, COMMON = 10, 100

#: WordNet's sense of a category, where it is not the first of the noun of that name; most as in LVIS.
_SYNSETS = {
    "ball": "ball.n.06",
    "banana": "banana.n.02",
    "kite": "kite.n.03",
    "lamp": "lamp.n.02",
    "mushroom": "mushroom.n.02",
    "potted plant": "houseplant.n.01",
}


def write_lvis(root: Path, world: World) -> None:
    """Writes both splits. Both list the categories as often as they occur in training, as LVIS does."""
    ids = {name: number for number, name in enumerate(sorted(world.categories), start=1)}
    captions: dict[str, list[str]] = {}
    tables = {split: _write_images(root, world, split, ids, captions) for split in FOLDERS}
    _, training = tables["train"]
    instances = Counter(record["category_id"] for record in training)
    images = Counter(number for _, number in {(record["image_id"], record["category_id"]) for record in training})
    categories = [_category_record(name, ids[name], images[ids[name]], instances[ids[name]]) for name in ids]
    for split, (pictures, objects) in tables.items():
        write_annotations(root / f"lvis_v1_{split}.json", images=pictures, annotations=objects, categories=categories)
    write_caption_file(root, captions)


export_lvis = Export(
    "LVIS",
    write_lvis,
    (*FOLDERS.values(), "lvis_v1_train.json", "lvis_v1_val.json", "captions.json"),
    "long_tail",
)


def frequency(image_count: int) -> str:
    """LVIS's mark of a category: "r" (rare), "c" (common) or "f" (frequent), by training images that show it."""
    return "r" if image_count <= RARE else "c" if image_count <= COMMON else "f"


def _write_images(
    root: Path, world: World, split: Split, ids: dict[str, int], captions: dict[str, list[str]]
) -> tuple[list[Record], list[Record]]:
    """Writes the images of a split; its records of images and of objects."""
    (root / FOLDERS[split]).mkdir()
    images: list[Record] = []
    objects: list[Record] = []
    first_id = 1 + (MOST_IMAGES if split == "val" else 0)
    for shot in world.shots(split):
        image_id = shot.image_id(split)
        name = f"{FOLDERS[split]}/{image_id:012d}.jpg"
        write_picture(root / name, shot.picture.image)
        captions[name] = shot.captions
        present = [ids[shot.scene.objects[k].category] for k in shot.picture.object_indices]
        images.append(
            {
                **image_record(image_id, world.image_size, f"http://miniworld.invalid/{name}"),
                "neg_category_ids": sorted({*ids.values()} - {*present}),
                "not_exhaustive_category_ids": [],
            }
        )
        for number, mask in zip(present, shot.picture.masks, strict=True):
            record = {"id": first_id + len(objects), "image_id": image_id, "category_id": number, **mask_record(mask)}
            objects.append(record)
    return images, objects


def _category_record(name: str, number: int, image_count: int, instance_count: int) -> Record:
    word = name.replace(" ", "_")
    return {
        "id": number,
        "name": word,
        "synset": _SYNSETS.get(name, f"{word}.n.01"),
        "synonyms": [word],
        "def": f"{THING_BY_NAME[name].supercategory}: {name}",
        "frequency": frequency(image_count),
        "image_count": image_count,
        "instance_count": instance_count,
    }
