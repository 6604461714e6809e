"""Virtual KITTI 2 (Cabon et al., arXiv 2001.10773): streets with depth at every pixel.

`Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg` with `Scene01/clone/frames/depth/Camera_0/depth_00000.png` (16-bit
centimetres, 65535 in the sky). The data set has no lists: Scene02 is for validation, the other four for training.
`captions.json` holds captions by the image's path.
"""

from pathlib import Path

import numpy as np

from datasetdm.miniworld.exports.export import Export, Split, World, depth_units, write_caption_file, write_picture

CENTIMETRES = 100
SKY = 65_535

_SCENES: dict[Split, tuple[str, ...]] = {"train": ("Scene01", "Scene06", "Scene18", "Scene20"), "val": ("Scene02",)}


def write_virtual_kitti(root: Path, world: World) -> None:
    """Writes both splits."""
    captions: dict[str, list[str]] = {}
    for split, scenes in _SCENES.items():
        for shot in world.shots(split):
            scene, frame = scenes[shot.number % len(scenes)], shot.number // len(scenes)
            image = f"{scene}/clone/frames/rgb/Camera_0/rgb_{frame:05d}.jpg"
            write_picture(root / image, shot.picture.image)
            depth = np.where(shot.picture.valid_mask, depth_units(shot.picture, CENTIMETRES), np.uint16(SKY))
            write_picture(root / f"{scene}/clone/frames/depth/Camera_0/depth_{frame:05d}.png", depth)
            captions[image] = shot.captions
    write_caption_file(root, captions)


export_virtual_kitti = Export(
    "Virtual KITTI 2",
    write_virtual_kitti,
    ("captions.json", *(s for scenes in _SCENES.values() for s in scenes)),
    "street",
)
