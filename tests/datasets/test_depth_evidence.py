"""Depth maps whose values say that they are something else."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.native.kitti import open_kitti
from datasetdm.datasets.native.nyu import open_nyu
from datasetdm.datasets.native.virtual_kitti import open_virtual_kitti
from datasetdm.errors import DatasetDMError

Change = Callable[[np.ndarray], np.ndarray]
HEIGHT, WIDTH = 32, 48


def street(number: int) -> np.ndarray:
    """Metres: far above, near below, nothing known in the sky."""
    depth = np.linspace(70 - number, 4, HEIGHT)[:, None].repeat(WIDTH, axis=1)
    depth[: HEIGHT // 4] = 0
    return depth


def room(number: int) -> np.ndarray:
    """Metres."""
    return np.linspace(4.5 + number / 10, 1.2, HEIGHT)[:, None].repeat(WIDTH, axis=1)


def write_pair(image: Path, depth: Path, values: np.ndarray) -> None:
    for path in (image, depth):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", values.shape[::-1]).save(image)
    Image.fromarray(values.astype(np.uint8 if values.dtype == np.uint8 else np.uint16)).save(depth)


def write_nyu(root: Path, change: Change) -> None:
    lines = []
    for number in range(6):
        image, depth = f"kitchen_000{number}/rgb_0.jpg", f"kitchen_000{number}/sync_depth_0.png"
        write_pair(root / "sync" / image, root / "sync" / depth, change(room(number)))
        lines.append(f"/{image} /{depth} 518.8579\r\n")
    (root / "train_list.txt").write_text("".join(lines), newline="")


def write_kitti(root: Path, change: Change) -> None:
    lines = []
    for number in range(6):
        image, depth = (f"{folder}2011_drive_000{number}_sync/{number}.png" for folder in ("2011/", ""))
        write_pair(root / "input" / image, root / "gt_depth" / depth, change(street(number)))
        lines.append(f"{image} {depth} 721.5377\n")
    (root / "kitti_eigen_train.txt").write_text("".join(lines))


def write_virtual_kitti(root: Path, change: Change) -> None:
    for number in range(6):
        frames = root / f"Scene0{number}" / "clone" / "frames"
        image, depth = frames / "rgb/Camera_0/rgb_00001.jpg", frames / "depth/Camera_0/depth_00001.png"
        write_pair(image, depth, change(street(number)))


LAYOUTS = {
    "nyu": (write_nyu, open_nyu, 1000),
    "kitti": (write_kitti, open_kitti, 256),
    "virtual_kitti": (write_virtual_kitti, open_virtual_kitti, 100),
}


def disparity(metres: np.ndarray) -> np.ndarray:
    return np.where(metres > 0, 8000 / np.maximum(metres, 0.1), 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_depth_in_the_layouts_unit_is_read_without_a_word(
    tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    write, read, units = LAYOUTS[layout]
    write(tmp_path, lambda metres: metres * units)
    with caplog.at_level(logging.INFO):
        split = read(tmp_path, "train")
    assert len(split) and not caplog.records
    assert split[0].target.depth.max() == pytest.approx(4.5 if layout == "nyu" else 70, rel=0.3)


@pytest.mark.parametrize(
    ("layout", "change", "words"),
    [
        ("nyu", np.rint, "value above 5.* look like whole metres"),
        ("kitti", np.rint, "value above [5-7].* look like whole metres"),
        ("virtual_kitti", np.rint, "value above [5-7].* look like whole metres"),
        ("nyu", lambda metres: metres / metres.max() * 255, "value above 25.*a picture of 8 bits"),
        ("kitti", lambda metres: metres / metres.max() * 255, "value above 2.*a picture of 8 bits"),
        ("virtual_kitti", lambda metres: metres / metres.max() * 255, "value above 2.*a picture of 8 bits"),
        ("nyu", lambda metres: metres * 80, "of another unit, such as centimetres"),
    ],
)
def test_other_units_are_refused(tmp_path: Path, layout: str, change: Change, words: str) -> None:
    write, read, units = LAYOUTS[layout]
    write(tmp_path, change)
    with pytest.raises(DatasetDMError, match=rf"{tmp_path.name}.*{words}.*metres times {units}"):
        read(tmp_path, "train")


def test_one_odd_map_does_not_stop_a_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_nyu(tmp_path, lambda metres: metres * 1000)
    write_pair(tmp_path / "x.jpg", tmp_path / "sync/kitchen_0000/sync_depth_0.png", np.rint(room(0)))
    (tmp_path / "sync/kitchen_0002/sync_depth_0.png").write_bytes(b"damaged")
    assert len(open_nyu(tmp_path, "train")) == 5
    assert not caplog.records


def test_rooms_of_half_a_metre_are_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They may be centimetres, or close to the camera."""
    write_nyu(tmp_path, lambda metres: metres * 110)
    assert len(open_nyu(tmp_path, "train")) == 5
    assert "above 550. That is 0.55 m" in caplog.text and "Are they of this unit?" in caplog.text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_grows_towards_the_camera_is_worth_a_warning(
    tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    write, read, _ = LAYOUTS[layout]
    write(tmp_path, disparity if layout == "nyu" else lambda metres: 2 * disparity(metres))
    read(tmp_path, "train")
    assert "disparities" in caplog.text


def test_depth_of_eight_bits_is_told(tmp_path: Path) -> None:
    write_nyu(tmp_path, lambda metres: (metres / metres.max() * 255).astype(np.uint8))
    with pytest.raises(DatasetDMError, match=r"not a 16-bit map .*grey, 8 bits.*16-bit grey PNG"):
        open_nyu(tmp_path, "train")[0]
