import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasetdm.datasets.native.nyu import open_nyu
from datasetdm.datasets.standard.depth_png import MILLIMETRES, Sensor, read_depth
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "nyudepthv2"
real = pytest.mark.skipif(not ROOT.is_dir(), reason=f"real NYU samples are not at {ROOT}")

SCENES = ("basement_0001a", "kitchen_0003a", "kitchen_0003b", "living_room_0012", "nyu_office_1", "office_0004c")
Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write frames of some scenes and a list of them; returns the root."""

    def build(
        scenes: tuple[str, ...] = SCENES, folder: str = "sync", file: str = "train_list.txt", frames: int = 2
    ) -> Path:
        lines = []
        for number, scene in enumerate(scenes):
            (tmp_path / folder / scene).mkdir(parents=True, exist_ok=True)
            for frame in range(frames):
                names = f"{scene}/rgb_{frame:05d}.jpg", f"{scene}/sync_depth_{frame:05d}.png"
                image, depth = (tmp_path / folder / name for name in names)
                Image.fromarray(np.full((6, 8, 3), 20 * number, np.uint8)).save(image)
                Image.fromarray(np.full((6, 8), 1000 * number + 100 + frame, np.uint16)).save(depth)
                lines.append(f"/{names[0]} /{names[1]} 518.8579")
        (tmp_path / file).write_text("\n".join(lines) + "\n\n")
        return tmp_path

    return build


def rooms(names: list[str]) -> set[str]:
    return {name.split("_rgb_")[0].rstrip("abc") for name in names}


def names_of(root: Path, split: str) -> list[str]:
    opened = open_nyu(root, split)  # type: ignore[arg-type]
    return [opened.name_of(index) for index in range(len(opened))]


def test_rooms_are_divided_and_kinds_are_read_off_the_folders(build: Build) -> None:
    root = build()
    train, val = open_nyu(root, "train"), open_nyu(root, "val")
    kinds = ["basement", "kitchen", "living room", "office"]
    assert [category.name for category in train.categories] == kinds and train.categories == val.categories
    assert names_of(root, "val") == [f"kitchen_0003{part}_rgb_0000{frame}.jpg" for part in "ab" for frame in (0, 1)]
    assert not rooms(names_of(root, "train")) & rooms(names_of(root, "val"))
    assert len(train) + len(val) == 12
    assert [kinds[train.labels_of(index)[0]] for index in range(0, len(train), 2)] == [
        "basement",
        "living room",
        "office",
        "office",
    ]


def test_depth_is_in_metres(build: Build) -> None:
    sample = open_nyu(build(), "val")[1]
    assert sample.name == "kitchen_0003a_rgb_00001.jpg" and sample.image.shape == (6, 8, 3)
    np.testing.assert_allclose(sample.target.depth, 1.101, rtol=1e-6)
    assert sample.target.valid_mask.all() and sample.caption == ""


def test_the_official_test_list_is_used_where_it_is(build: Build) -> None:
    build()
    root = build(("kitchen", "study_room"), folder="official_splits/test", file="test_list.txt")
    train, val = open_nyu(root, "train"), open_nyu(root, "val")
    assert (len(train), len(val)) == (12, 4)
    assert [category.name for category in val.categories][-1] == "study room" and train.categories == val.categories
    assert val.path_of(0) == root / "official_splits" / "test" / "kitchen" / "rgb_00000.jpg"


def test_a_test_list_may_lie_beside_the_training_images(build: Build) -> None:
    build(SCENES[:2])
    root = build(SCENES[3:], file="test_list.txt")
    assert rooms(names_of(root, "val")) == {"living_room_0012", "nyu_office_1", "office_0004"}


def test_a_room_in_both_lists_is_a_leak(build: Build) -> None:
    build(("kitchen_0003a",))
    root = build(("kitchen_0003b",), file="test_list.txt")
    for split in ("train", "val"):
        with pytest.raises(DatasetDMError, match=r"kitchen_0003.*must not be trained on"):
            open_nyu(root, split)  # type: ignore[arg-type]


def test_captions_by_name_or_by_path(build: Build) -> None:
    root = build()
    captions = {"kitchen_0003a_rgb_00000.jpg": ["a stove", "a kitchen"], "kitchen_0003b/rgb_00000.jpg": ["a fridge"]}
    (root / "captions.json").write_text(json.dumps(captions))
    val = open_nyu(root, "val")
    assert [val.captions_of(index) for index in range(4)] == [("a stove", "a kitchen"), (), ("a fridge",), ()]
    assert val[0].caption == "a stove"


def test_one_room_cannot_be_divided(build: Build) -> None:
    root = build(("kitchen_0003a", "kitchen_0003b"))
    assert len(open_nyu(root, "train")) == 4
    with pytest.raises(DatasetDMError, match="single place"):
        open_nyu(root, "val")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "lists nothing"),
        ("/kitchen_0003a/rgb_00000.jpg", "is not 'image depth_map focal_length'"),
        ("a b c d", "is not 'image depth_map focal_length'"),
        ("/kitchen_0003a/rgb_00000.jpg None 518.8", "no image that has a depth map"),
        ("/rgb_00000.jpg /sync_depth_00000.png 518.8", "not in the folder of a scene"),
        ("/Kitchen 3/rgb_00000.jpg /sync_depth_00000.png", "not in the folder of a scene"),
        ("//etc/rgb_00000.jpg /kitchen_0003a/sync_depth_00000.png 1", "plain relative path"),
        ("../kitchen_0003a/rgb_00000.jpg /kitchen_0003a/sync_depth_00000.png 1", "plain relative path"),
        ("/kitchen_0003a/rgb_00000.jpg C:\\secret.png 1", "plain relative path"),
        ("/kitchen_0003a/rgb_00007.jpg /kitchen_0003a/sync_depth_00000.png 1", "rgb_00007.jpg"),
        ("/kitchen_0003a/rgb_00000.jpg /kitchen_0003a/sync_depth_00007.png 1", "sync_depth_00007.png"),
        ("/kitchen_0003a/rgb_00000.jpg /kitchen_0003a/sync_depth_00000.png 1\n" * 2, "twice"),
    ],
)
def test_lists_that_are_refused(build: Build, line: str, message: str) -> None:
    root = build()
    (root / "train_list.txt").write_text(line)
    with pytest.raises(DatasetDMError, match=message):
        open_nyu(root, "train")


def test_no_list_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"holds no train_list\.txt"):
        open_nyu(tmp_path, "train")
    (tmp_path / "train_list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetDMError, match="not text"):
        open_nyu(tmp_path, "train")


@given(st.lists(st.text(max_size=40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_list_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "train_list.txt").write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DatasetDMError):
        open_nyu(root, "train")


def test_an_image_of_another_size_is_refused(build: Build) -> None:
    root = build()
    Image.fromarray(np.ones((8, 6), np.uint16)).save(root / "sync" / "kitchen_0003a" / "sync_depth_00000.png")
    with pytest.raises(DatasetDMError, match=r"sync_depth_00000\.png is 6 x 8 pixels"):
        open_nyu(root, "val")[0]


@real
def test_real_frames() -> None:
    train = open_nyu(ROOT, "train")
    assert [category.name for category in train.categories] == ["basement"] and len(train) == 3
    for sample, shares, farthest in zip(train, (0.733, 0.751, 0.670), (6.625, 8.266, 6.446), strict=True):
        target = sample.target
        assert sample.image.shape == (480, 640, 3) and target.depth.shape == (480, 640)
        assert target.valid_mask.mean() == pytest.approx(shares, abs=1e-3)
        assert target.depth.max() == pytest.approx(farthest)
        assert (target.depth[target.valid_mask] > 0.3).all()
    with pytest.raises(DatasetDMError, match="basement_0001"):
        open_nyu(ROOT, "val")


@real
def test_raw_frames_of_the_sensor_are_not_taken_for_millimetres() -> None:
    with pytest.raises(DatasetDMError, match=r"NYU_depth\.pgm"):
        read_depth(ROOT / "raw_unsynced" / "NYU_depth.pgm", Sensor(units_per_metre=MILLIMETRES, farthest=10, common=1))


@real
def test_another_copy_of_the_data_set_agrees_on_the_unit() -> None:
    depth = ROOT / "mmseg_tiny" / "annotations" / "bookstore_0001d_00001.png"
    target = read_depth(depth, Sensor(units_per_metre=MILLIMETRES, farthest=10, common=1))
    assert 1 < np.median(target.depth[target.valid_mask]) < 5
