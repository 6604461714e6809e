"""KITTI depth (Uhrig et al., arXiv 1708.06500) with Eigen's lists: streets with the depth that a laser scanner sees.

`input/2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png` with
`gt_depth/2011_09_26_drive_0001_sync/proj_depth/groundtruth/image_02/0000000000.png` (16-bit, metres x 256, 0 = no
return), and `kitti_eigen_{train,test}.txt`, whose lines name image, depth and focal length in pixels. Validation was
driven on another day. `captions.json` holds captions by the image's path as in the lists.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasetdm.miniworld.exports.export import Export, Split, World, depth_units, write_caption_file, write_picture
from datasetdm.miniworld.layout import Camera
from datasetdm.utils.files import write_text

UNITS_PER_METRE = 256
FRAMES_PER_DRIVE = 100

_DAYS: dict[Split, str] = {"train": "2011_09_26", "val": "2011_09_28"}
_LISTS: dict[Split, str] = {"train": "kitti_eigen_train.txt", "val": "kitti_eigen_test.txt"}

# Degrees above the horizontal of the highest and the lowest beam of KITTI's scanner (Velodyne HDL-64E). Its 64 beams
# would leave no gaps in an image of 128 pixels; 40 of them meet a fifth of it, as KITTI's accumulated ground truth.
_HIGHEST, _LOWEST, _BEAMS = 2.0, -24.8, 40
_STEP = 0.5  # degrees from one direction to the next
_LOST = 0.1  # share of the beams that do not return


def write_kitti(root: Path, world: World) -> None:
    """Writes both splits."""
    captions: dict[str, list[str]] = {}
    for split, day in _DAYS.items():
        lines = []
        for shot in world.shots(split):
            drive, frame = f"{day}_drive_{1 + shot.number // FRAMES_PER_DRIVE:04d}_sync", shot.number % FRAMES_PER_DRIVE
            image = f"{day}/{drive}/image_02/data/{frame:010d}.png"
            depth = f"{drive}/proj_depth/groundtruth/image_02/{frame:010d}.png"
            rng = np.random.default_rng([world.seed, shot.image_id(split)])
            seen = lidar_mask(shot.scene.camera, world.image_size, rng)
            write_picture(root / "input" / image, shot.picture.image)
            write_picture(root / "gt_depth" / depth, np.where(seen, depth_units(shot.picture, UNITS_PER_METRE), 0))
            lines.append(f"{image} {depth} {shot.scene.camera.focal * world.image_size:.4f}\n")
            captions[image] = shot.captions
        write_text(root / _LISTS[split], "".join(lines))
    write_caption_file(root, captions)


export_kitti = Export("KITTI", write_kitti, ("input", "gt_depth", *_LISTS.values(), "captions.json"), "street")


def lidar_mask(camera: Camera, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """size x size, true at the pixels that the beams of a level laser scanner beside the camera meet.

    A beam of elevation e and azimuth a has the direction (cos e sin a, sin e, cos e cos a) in world axes; some returns
    are lost.
    """
    elevation = np.radians(np.linspace(_HIGHEST, _LOWEST, _BEAMS))[:, None]
    azimuth = np.radians(np.arange(-45, 45, _STEP) + rng.uniform(0, _STEP))[None, :]
    right, up = np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    ahead = np.cos(elevation) * np.cos(azimuth)
    forward = ahead * np.cos(camera.pitch) - up * np.sin(camera.pitch)
    down = -up * np.cos(camera.pitch) - ahead * np.sin(camera.pitch)
    columns = np.floor((0.5 + camera.focal * right / forward) * size).astype(int)
    rows = np.floor((0.5 + camera.focal * down / forward) * size).astype(int)
    kept = (np.minimum(columns, rows) >= 0) & (np.maximum(columns, rows) < size) & (rng.random(rows.shape) > _LOST)
    mask = np.zeros((size, size), bool)
    mask[rows[kept], columns[kept]] = True
    return mask
