"""Virtual KITTI 2 (Cabon et al., arXiv 2001.10773): five streets of KITTI, rendered in ten variations each.

`Scene01/clone/frames/rgb/Camera_0/rgb_00001.jpg` and `Scene01/clone/frames/depth/Camera_0/depth_00001.png` (16-bit
centimetres): the archives of images and of depth, unpacked into one folder. There are no lists.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from datasetdm.datasets.native.depth_evidence import check_depths
from datasetdm.datasets.native.depth_lists import Pair, entries_of, split_by_place
from datasetdm.datasets.native.kitti import STREET
from datasetdm.datasets.native.listing import read_captions
from datasetdm.datasets.split import FileSplit
from datasetdm.datasets.standard.depth_png import Sensor, read_depth
from datasetdm.errors import DatasetDMError

CENTIMETRES = 100.0  # units per metre
SKY = 65_535
#: Sees as far as the file can say.
RENDERER = Sensor(units_per_metre=CENTIMETRES, farthest=655.35, common=20.0, unknown=(0, SKY))
IMAGES = "Scene*/*/frames/rgb/Camera_0/rgb_*.jpg"


def open_virtual_kitti(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split of the left camera's images; depth is read when a sample is asked for.

    The scenes, with all their variations, are divided by `depth_lists.split_by_place`: of the five, Scene02 is held
    out. The sky is unknown. The one category is that of KITTI; captions come from `captions.json` where it is there.

    Raises:
        DatasetDMError: no images, or images without their depth map; depth of another unit.
    """
    paths = sorted(path.relative_to(root) for path in root.glob(IMAGES))
    if not paths:
        raise DatasetDMError(
            f"The data set is incomplete: {root} holds no {IMAGES}. Unpack the archives vkitti_2.0.3_rgb.tar and "
            "vkitti_2.0.3_depth.tar there, or correct `source.root` in params.yaml."
        )
    everything = [Pair(image=path.as_posix(), depth=_depth_of(path), place=path.parts[0]) for path in paths]
    pairs = split_by_place(root, everything, split)
    entries = entries_of(root, pairs, root, root, _name, read_captions(root / "captions.json"))
    check_depths(root, entries, RENDERER)
    return FileSplit(
        root,
        [STREET],
        entries,
        read_target=lambda entry: read_depth(entry.annotation, RENDERER),
        labels_of=lambda _: (0,),
    )


def _depth_of(image: Path) -> str:
    scene, variation = image.parts[:2]
    number = image.stem.removeprefix("rgb_")
    return f"{scene}/{variation}/frames/depth/Camera_0/depth_{number}.png"


def _name(image: str) -> str:
    """`Scene01_clone_rgb_00001.jpg`: scene, variation and frame."""
    scene, variation, *_, frame = PurePosixPath(image).parts
    return f"{scene}_{variation}_{frame}"
