import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.native.kitti import STREET, open_kitti
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "kitti"
real = pytest.mark.skipif(not ROOT.is_dir(), reason=f"real KITTI samples are not at {ROOT}")

DRIVES = ("2011_09_26_drive_0001_sync", "2011_09_26_drive_0005_sync", "2011_09_28_drive_0001_sync")
Build = Callable[..., Path]


def write_frame(root: Path, image: str, depth: str, units: int) -> None:
    for path in (root / "input" / image, root / "gt_depth" / depth):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 12, 3), np.uint8)).save(root / "input" / image)
    values = np.zeros((4, 12), np.uint16)
    values[2:, ::3] = units
    Image.fromarray(values).save(root / "gt_depth" / depth)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write two frames of every drive and a list of them; returns the root."""

    def build(drives: Sequence[str] = DRIVES, file: str = "kitti_eigen_train.txt") -> Path:
        lines = []
        for number, drive in enumerate(drives):
            for frame in ("0000000005", "0000000010"):
                image = f"{drive[:10]}/{drive}/image_02/data/{frame}.png"
                depth = f"{drive}/proj_depth/groundtruth/image_02/{frame}.png"
                write_frame(tmp_path, image, depth, 2560 * (number + 1) + 128)
                lines.append(f"{image} {depth} 721.5377")
            lines.append(f"{drive[:10]}/{drive}/image_02/data/0000000000.png None 721.5377")
        (tmp_path / file).write_text("\n".join(lines))
        return tmp_path

    return build


def test_drives_are_divided(build: Build) -> None:
    root = build()
    train, val = open_kitti(root, "train"), open_kitti(root, "val")
    assert (len(train), len(val)) == (4, 2) and train.categories == val.categories == (STREET,)
    assert val.name_of(1) == "2011_09_26_drive_0005_sync_image_02_0000000010.png"
    assert val.labels_of(0) == (0,)


def test_depth_is_sparse_and_in_metres(build: Build) -> None:
    target = open_kitti(build(), "val")[0].target
    assert target.valid_mask.sum() == 8 and not target.valid_mask[:2].any()
    np.testing.assert_array_equal(target.depth[target.valid_mask], 20.5)
    assert (target.depth[~target.valid_mask] == 0).all()


def test_the_test_list_and_leaks(build: Build) -> None:
    build(DRIVES[:1])
    root = build(DRIVES[1:], file="kitti_eigen_test.txt")
    assert (len(open_kitti(root, "train")), len(open_kitti(root, "val"))) == (2, 4)
    build(DRIVES[:2], file="kitti_eigen_test.txt")
    with pytest.raises(DatasetDMError, match=r"drive_0001.*must not be trained on"):
        open_kitti(root, "val")


def test_captions(build: Build) -> None:
    root = build()
    (root / "captions.json").write_text(json.dumps({"2011_09_26_drive_0005_sync_image_02_0000000005.png": ["cars"]}))
    val = open_kitti(root, "val")
    assert [val.captions_of(index) for index in range(2)] == [("cars",), ()]


def test_paths_without_a_drive_are_refused(build: Build) -> None:
    root = build()
    (root / "kitti_eigen_train.txt").write_text("image/1.png depth/1.png 721.5")
    with pytest.raises(DatasetDMError, match="not in the folder of a drive"):
        open_kitti(root, "train")


def test_eight_bit_depth_is_refused(build: Build) -> None:
    root = build()
    path = root / "gt_depth" / DRIVES[1] / "proj_depth/groundtruth/image_02/0000000005.png"
    Image.fromarray(np.full((4, 12), 7, np.uint8)).save(path)
    with pytest.raises(DatasetDMError, match=r"0000000005\.png is not a 16-bit map"):
        open_kitti(root, "val")[0]


@real
def test_real_frames_with_ground_truth() -> None:
    train = open_kitti(ROOT, "train")
    assert len(train) == 3
    for sample in train:
        target = sample.target
        assert sample.image.shape == (375, 1242, 3)
        assert 0.17 < target.valid_mask.mean() < 0.22  # accumulated laser scans
        assert not target.valid_mask[:100].any()  # which do not reach the sky
        assert target.depth[target.valid_mask].min() > 3 and target.depth.max() < 86
        assert np.median(target.depth[target.valid_mask]) == pytest.approx(13.5, abs=0.5)


@real
def test_real_drives_are_divided(tmp_path: Path) -> None:
    lists = [(ROOT / name).read_text() for name in ("kitti_eigen_train.txt", "kitti_velodyne_raw.txt")]
    (tmp_path / "kitti_eigen_train.txt").write_text("\n".join(lists))
    for folder in ("input", "gt_depth"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    train, val = open_kitti(tmp_path, "train"), open_kitti(tmp_path, "val")
    assert (len(train), len(val)) == (8, 5)
    assert {val.name_of(index)[:21] for index in range(5)} == {"2011_09_26_drive_0009"}
    sample = val[0]  # a single scan
    assert 0.03 < sample.target.valid_mask.mean() < 0.05 and sample.target.depth.max() < 80
