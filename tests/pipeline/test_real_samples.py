"""The whole chain on real samples of VOC, NYU and KITTI in their own layouts; COCO's are in test_chain.py."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.cli import main

SAMPLES = Path(__file__).parents[3] / "shared" / "realdata"
pytestmark = [
    pytest.mark.extended,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"the real samples are not at {SAMPLES}"),
]


def link(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def voc(root: Path) -> None:
    """The sample has both lists."""
    link(root, SAMPLES / "PascalVOC12")


def nyu(root: Path) -> None:
    """A basement and two rooms to learn from, a book store as the test; depth in metres becomes millimetres."""
    sample = SAMPLES / "nyudepthv2"
    link(root / "sync/basement_0001a", sample / "sync/basement_0001a")
    shop = root / "sync/bookstore_0001d"
    link(shop / "rgb_00001.jpg", sample / "mmseg_tiny/images/bookstore_0001d_00001.jpg")
    link(shop / "sync_depth_00001.png", sample / "mmseg_tiny/annotations/bookstore_0001d_00001.png")
    photograph = np.asarray(Image.open(sample / "labeled40_sample/RGB/0.jpg").convert("RGB"))
    write_frame(root / "sync/room_0001a", photograph, np.load(sample / "labeled40_sample/Depth/0.npy"))
    small = (255 * np.load(sample / "fast_depth_npy/rgb.npy")).astype(np.uint8)
    write_frame(root / "sync/room_0002a", small, np.load(sample / "fast_depth_npy/depth.npy"))
    rooms = [line("room_0001a", 1), line("room_0002a", 1)]
    (root / "train_list.txt").write_text((sample / "train_list.txt").read_text() + "".join(rooms))
    (root / "test_list.txt").write_text(line("bookstore_0001d", 1))


def write_frame(folder: Path, image: np.ndarray, metres: np.ndarray) -> None:
    folder.mkdir()
    Image.fromarray(image).save(folder / "rgb_00001.jpg")
    Image.fromarray(np.round(1000 * metres.squeeze()).astype(np.uint16)).save(folder / "sync_depth_00001.png")


def line(scene: str, number: int) -> str:
    return f"/{scene}/rgb_{number:05d}.jpg /{scene}/sync_depth_{number:05d}.png 518.8579\n"


def kitti(root: Path) -> None:
    """Ten frames of two drives with raw laser points to learn from, three with accumulated ones as the test."""
    sample = SAMPLES / "kitti"
    link(root / "input", sample / "input")
    link(root / "gt_depth", sample / "gt_depth")
    shutil.copy(sample / "kitti_velodyne_raw.txt", root / "kitti_eigen_train.txt")
    shutil.copy(sample / "kitti_eigen_train.txt", root / "kitti_eigen_test.txt")


BENCHMARKS = {
    "voc": (voc, "semantic", {"num_real": 4, "num_dev": 2, "num_oracle": 2, "num_test": 4}),
    "nyu": (
        nyu,
        {"name": "depth", "min_depth": 0.1, "max_depth": 10.0},
        {"num_real": 1, "num_dev": 1, "num_oracle": 1, "num_test": 1},
    ),
    "kitti": (
        kitti,
        {"name": "depth", "min_depth": 1.0, "max_depth": 80.0, "crop": "garg"},
        {"num_real": 3, "num_dev": 3, "num_oracle": 2, "num_test": 3},
    ),
}


@pytest.mark.parametrize("layout", list(BENCHMARKS))
def test_chain_on_real_samples(project, edit, layout: str) -> None:
    prepare, task, sets = BENCHMARKS[layout]
    folder = project({"format": layout, "root": f"data/raw/{layout}"})
    (folder / "data/raw").mkdir(parents=True)
    prepare(folder / "data/raw" / layout)
    edit("backbone.allow_mismatch", True)  # the embedded model draws no photographs, but draws
    edit("benchmarks.coco.task", task)
    edit("benchmarks.coco.ingest", sets)
    edit("benchmarks.coco.downstream.model", "upernet_r18")
    if layout == "kitti":  # photographs four times as wide as high teach the model how they look
        edit("benchmarks.coco.adapt", {"steps": 2, "rank": 2, "targets": ["conv1", "to_q"], "reading_scale": 0})
    if layout != "voc":
        edit("benchmarks.coco.augmentation", {"num_images": 0, "proportions": {}, "max_size": 128})
    assert main(["run", "coco"]) == 0
    metrics = json.loads((folder / "data/reports/coco/metrics.json").read_text())
    assert metrics["world"] == "real" and metrics["num_real"] == sets["num_real"] and metrics["num_synthetic"] > 0
    assert list(metrics["arms"]) == ["real", "synthetic", "both", "oracle"]
    for name in metrics["headline"]:
        assert all(figures[name]["mean"] >= 0 for figures in metrics["arms"].values())
    assert "The drawn images are of another kind" in (folder / "data/reports/coco/index.html").read_text()
