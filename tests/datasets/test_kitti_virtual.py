import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.native.kitti import STREET
from datasetdm.datasets.native.virtual_kitti import open_virtual_kitti
from datasetdm.errors import DatasetDMError

SCENES = ("Scene01", "Scene02", "Scene06", "Scene18", "Scene20")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames of two variations of every scene; the upper half is sky."""
    for number, scene in enumerate(SCENES):
        for variation in ("clone", "15-deg-left"):
            frames = tmp_path / scene / variation / "frames"
            for camera in ("Camera_0", "Camera_1"):
                for kind in ("rgb", "depth"):
                    (frames / kind / camera).mkdir(parents=True)
                for frame in ("00000", "00001"):
                    values = np.full((4, 6), 1000 * (number + 1) + 25, np.uint16)
                    values[:3] = 65_535
                    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(frames / "rgb" / camera / f"rgb_{frame}.jpg")
                    Image.fromarray(values).save(frames / "depth" / camera / f"depth_{frame}.png")
    return tmp_path


def test_scenes_are_divided_with_all_their_variations(root: Path) -> None:
    train, val = open_virtual_kitti(root, "train"), open_virtual_kitti(root, "val")
    assert (len(train), len(val)) == (16, 4) and train.categories == val.categories == (STREET,)
    assert [val.name_of(index) for index in range(4)] == [
        f"Scene02_{variation}_rgb_0000{frame}.jpg" for variation in ("15-deg-left", "clone") for frame in (0, 1)
    ]


def test_depth_is_in_metres_and_the_sky_unknown(root: Path) -> None:
    target = open_virtual_kitti(root, "val")[0].target
    assert target.valid_mask.tolist() == [[False] * 6] * 3 + [[True] * 6]
    np.testing.assert_allclose(target.depth[3], 20.25)
    assert (target.depth[:3] == 0).all()


def test_captions(root: Path) -> None:
    (root / "captions.json").write_text(json.dumps({"Scene02_clone_rgb_00001.jpg": ["a street at noon"]}))
    assert open_virtual_kitti(root, "val")[3].caption == "a street at noon"


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    (root / "Scene02/clone/frames/depth/Camera_0/depth_00001.png").unlink()
    with pytest.raises(DatasetDMError, match=r"depth_00001\.png"):
        open_virtual_kitti(root, "val")
    with pytest.raises(DatasetDMError, match=r"vkitti_2\.0\.3_depth\.tar"):
        open_virtual_kitti(tmp_path / "elsewhere", "train")
