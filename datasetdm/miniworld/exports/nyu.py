"""NYU Depth V2 (Silberman et al., ECCV 2012) in the layout of BTS: rooms with their depth.

`sync/living_room_0001/rgb_00000.jpg` with `sync/living_room_0001/sync_depth_00000.png` (16-bit millimetres) and
`train_list.txt`; for validation `official_splits/test/living_room/...` and `test_list.txt`. A line of a list names
image, depth and focal length in pixels. `captions.json` holds captions by the image's path as in the lists, without
the slash in front.
"""

from pathlib import Path

from datasetdm.miniworld.exports.export import Export, Split, World, depth_units, write_caption_file, write_picture
from datasetdm.miniworld.layout import Scene
from datasetdm.utils.files import write_text

MILLIMETRES = 1000
FRAMES_PER_SCENE = 20

_FOLDERS: dict[Split, str] = {"train": "sync", "val": "official_splits/test"}
_LISTS: dict[Split, str] = {"train": "train_list.txt", "val": "test_list.txt"}

#: The first of these that stands in a room decides what kind of room it is.
_KINDS = {"ball": "playroom", "chair": "dining_room", "lamp": "bedroom", "clock": "office"}


def write_nyu(root: Path, world: World) -> None:
    """Writes both splits."""
    captions: dict[str, list[str]] = {}
    for split, top in _FOLDERS.items():
        lines = []
        for shot in world.shots(split):
            place, frame = room_kind(shot.scene), shot.number
            if split == "train":
                place, frame = f"{place}_{1 + shot.number // FRAMES_PER_SCENE:04d}", shot.number % FRAMES_PER_SCENE
            image, depth = f"{place}/rgb_{frame:05d}.jpg", f"{place}/sync_depth_{frame:05d}.png"
            write_picture(root / top / image, shot.picture.image)
            write_picture(root / top / depth, depth_units(shot.picture, MILLIMETRES))
            lines.append(f"/{image} /{depth} {shot.scene.camera.focal * world.image_size:.4f}\n")
            captions[image] = shot.captions
        write_text(root / _LISTS[split], "".join(lines))
    write_caption_file(root, captions)


export_nyu = Export("NYU Depth V2", write_nyu, ("sync", "official_splits", *_LISTS.values(), "captions.json"), "room")


def room_kind(scene: Scene) -> str:
    """What a room is called by what stands in it."""
    things = {o.category for o in scene.objects}
    return next((kind for thing, kind in _KINDS.items() if thing in things), "living_room")
