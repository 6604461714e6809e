"""Every export is valid in its layout, the same each time, complete or absent, and says what the renderer knows."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datasetdm.datasets.native.cityscapes import CITYSCAPES_CATEGORIES
from datasetdm.datasets.native.deepfashion import DEEPFASHION_NAMES
from datasetdm.datasets.native.voc import voc_colours
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld import DISTRIBUTIONS, EXPORTS, STUFF_INDEX, THING_BY_NAME, THING_INDEX, Camera
from datasetdm.miniworld.distributions import style_splits
from datasetdm.miniworld.drawing.person import BODY_PARTS
from datasetdm.miniworld.exports import cityscapes, deepfashion
from datasetdm.miniworld.exports.export import CAPTIONS_PER_IMAGE, Export, Shot, Split, World
from datasetdm.miniworld.exports.kitti import lidar_mask
from datasetdm.miniworld.exports.lvis import frequency

NUM_TRAIN, NUM_VAL, SEED, SIZE = 12, 4, 2, 64
SPLITS: tuple[Split, ...] = ("train", "val")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The export of every layout."""
    folder = tmp_path_factory.mktemp("exports")
    for name, export in EXPORTS.items():
        export(folder / name, num_train=NUM_TRAIN, num_val=NUM_VAL, seed=SEED, image_size=SIZE)
    return {name: folder / name for name in EXPORTS}


def _shots(distribution: str) -> Iterator[tuple[Split, Shot]]:
    """What the exports were made of."""
    world = World(NUM_TRAIN, NUM_VAL, SEED, SIZE, distribution)
    for split in SPLITS:
        for shot in world.shots(split):
            yield split, shot


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def _values(path: Path) -> np.ndarray:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert values is not None, path
    return values


def _is_picture(path: Path, image: np.ndarray) -> bool:
    """Whether the file shows the image, exactly or as a JPEG does."""
    shown = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool(np.abs(shown - image).max() <= (0 if path.suffix == ".png" else 40))


@pytest.mark.parametrize("name", EXPORTS)
def test_same_arguments_same_bytes_and_image_k_whatever_the_counts(
    name: str, roots: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / "again"
    EXPORTS[name](root, num_train=3, num_val=1, seed=SEED, image_size=SIZE)
    first = _digests(root)
    EXPORTS[name](root, num_train=3, num_val=1, seed=SEED, image_size=SIZE)
    assert _digests(root) == first
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    large = _digests(roots[name])
    pictures = {file: digest for file, digest in first.items() if file.endswith((".jpg", ".png"))}
    assert len(pictures) in (4, 8)
    assert pictures.items() <= large.items()
    assert len({digest for file, digest in large.items() if file.endswith(".jpg")}) in (0, NUM_TRAIN + NUM_VAL)


@pytest.mark.parametrize("name", EXPORTS)
def test_other_distributions_can_be_exported(name: str, tmp_path: Path) -> None:
    for distribution in ("web", "figure" if name != "deepfashion" else "street"):
        EXPORTS[name](tmp_path / name, num_train=1, num_val=1, seed=0, image_size=64, distribution=distribution)
        pictures = [path for path in (tmp_path / name).rglob("*") if path.suffix in (".jpg", ".png")]
        assert len(pictures) in (2, 4)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_not_an_earlier_export_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetDMError, match="something other"):
        EXPORTS[name](tmp_path, num_train=1, num_val=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def broken(root: Path, world: World) -> None:
        (root / "images").mkdir()
        raise OSError("the disk is full")

    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "images" / "old.jpg").write_bytes(b"old")
    with pytest.raises(OSError, match="full"):
        Export("Nothing", broken, ("images",), "coco")(root, num_train=1, num_val=1, seed=0)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["data/images/old.jpg"]


def test_validation_images_have_other_seeds_and_held_out_styles() -> None:
    styles = {
        split: {o.style for s, shot in _shots("street") if s == split for o in shot.scene.objects} for split in SPLITS
    }
    assert all(style_splits(style) == ("train", "train") for style in styles["train"])
    assert all(style_splits(style) == ("test", "test") for style in styles["val"])
    assert styles["train"]
    assert styles["val"]


def test_voc(roots: dict[str, Path]) -> None:
    root = roots["voc"]
    classes = (root / "classes.txt").read_text().splitlines()
    assert classes[0] == "background"
    assert len(classes) == 21
    assert {"tree", "house"}.isdisjoint(classes)
    lists = {name: (root / f"ImageSets/Segmentation/{name}.txt").read_text().split() for name in (*SPLITS, "trainval")}
    assert lists["trainval"] == lists["train"] + lists["val"]
    captions = json.loads((root / "captions.json").read_text())
    numbers = dict.fromkeys(SPLITS, 0)
    for split, shot in _shots("coco"):
        stem = lists[split][numbers[split]]
        numbers[split] += 1
        assert _is_picture(root / "JPEGImages" / f"{stem}.jpg", shot.picture.image)
        assert captions[f"{stem}.jpg"] == shot.captions
        with Image.open(root / "SegmentationClass" / f"{stem}.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.reshape(mask.getpalette(), (-1, 3)), voc_colours())
            values = np.asarray(mask)
        names = np.array([*classes, *[""] * 235])[values]
        border = values == 255
        seen = np.zeros(values.shape, bool)
        for k, visible in zip(shot.picture.object_indices, shot.picture.masks, strict=True):
            name = shot.scene.objects[k].category
            expected = name if name in classes else "background"
            assert set(names[visible & ~border]) <= {expected}
            if name in classes:
                seen |= visible
                assert (names == name).any()
                around = cv2.dilate(visible.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                assert border[around].any()
        np.testing.assert_array_equal((values > 0) & ~border, seen & ~border)
    assert numbers == {"train": NUM_TRAIN, "val": NUM_VAL}


def test_cityscapes(roots: dict[str, Path]) -> None:
    root = roots["cityscapes"]
    official = {category.name: category.id for category in CITYSCAPES_CATEGORIES}
    renamed = {"house": "building", "tree": "vegetation", "grass": "terrain", "sand": "terrain"}
    assert {
        renamed.get(name, name): number for name, number in cityscapes.LABEL_IDS.items()
    }.items() <= official.items()
    captions = json.loads((root / "captions.json").read_text())
    index_of = STUFF_INDEX | THING_INDEX
    for split, shot in _shots("street"):
        city = {"train": "aachen", "val": "frankfurt"}[split]
        stem = f"{city}_000000_{shot.number:06d}"
        assert _is_picture(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", shot.picture.image)
        assert captions[f"{stem}_leftImg8bit.png"] == shot.captions
        values = _values(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png")
        assert values.dtype == np.uint8
        for name, index in index_of.items():
            found = set(values[shot.picture.semantic_map == index].tolist())
            assert found <= {cityscapes.LABEL_IDS.get(name, 0)}
        assert official["road"] in values


def test_deepfashion(roots: dict[str, Path]) -> None:
    root = roots["deepfashion"]
    assert {name: DEEPFASHION_NAMES.index(name) for name in BODY_PARTS} == deepfashion.CLASS_IDS
    captions = json.loads((root / "captions.json").read_text())
    lists = {split: (root / f"{split}.txt").read_text().split() for split in SPLITS}
    assert set(captions) == {*lists["train"], *lists["val"]} == {path.name for path in (root / "images").iterdir()}
    for split, shot in _shots("figure"):
        name = lists[split][shot.number]
        assert captions[name] == shot.captions[0]
        assert _is_picture(root / "images" / name, shot.picture.image)
        values = _values(root / "segm" / name.replace(".jpg", "_segm.png"))
        assert values.dtype == np.uint8
        person = shot.picture.masks.any(0)
        np.testing.assert_array_equal(values > 0, person)
        for index, part in enumerate(BODY_PARTS):
            assert set(values[shot.picture.body_parts == index].tolist()) <= {DEEPFASHION_NAMES.index(part)}


def _listed(file: Path) -> list[tuple[str, str, float]]:
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(image, depth, float(focal)) for image, depth, focal in lines]


def test_nyu(roots: dict[str, Path]) -> None:
    root = roots["nyu"]
    folders = {"train": root / "sync", "val": root / "official_splits" / "test"}
    lists = {"train": _listed(root / "train_list.txt"), "val": _listed(root / "test_list.txt")}
    captions = json.loads((root / "captions.json").read_text())
    for split, shot in _shots("room"):
        image, depth, focal = lists[split][shot.number]
        assert focal == pytest.approx(shot.scene.camera.focal * SIZE, abs=1e-4)
        assert captions[image[1:]] == shot.captions
        assert _is_picture(folders[split] / image[1:], shot.picture.image)
        values = _values(folders[split] / depth[1:])
        assert values.dtype == np.uint16
        np.testing.assert_allclose(values / 1000, shot.picture.depth, atol=6e-4)
        kind = image[1:].split("/")[0].rstrip("_0123456789")
        assert (kind == "playroom") == any(o.category == "ball" for o in shot.scene.objects)
    assert len({image for rows in lists.values() for image, _, _ in rows}) == NUM_TRAIN + NUM_VAL


def test_kitti(roots: dict[str, Path]) -> None:
    root = roots["kitti"]
    lists = {"train": _listed(root / "kitti_eigen_train.txt"), "val": _listed(root / "kitti_eigen_test.txt")}
    captions = json.loads((root / "captions.json").read_text())
    drives = {split: {image.split("/")[1] for image, _, _ in rows} for split, rows in lists.items()}
    assert not drives["train"] & drives["val"]
    shares = []
    for split, shot in _shots("street"):
        image, depth, focal = lists[split][shot.number]
        assert focal == pytest.approx(shot.scene.camera.focal * SIZE, abs=1e-4)
        assert captions[image] == shot.captions
        assert _is_picture(root / "input" / image, shot.picture.image)
        values = _values(root / "gt_depth" / depth)
        assert values.dtype == np.uint16
        known = values > 0
        shares.append(known.mean())
        np.testing.assert_allclose(values[known] / 256, shot.picture.depth[known], atol=2e-3)
        assert not known[~shot.picture.valid_mask].any()
        elevation = _elevation(shot.scene.camera)[known]
        assert elevation.min() > -24.8 - 1
        assert elevation.max() < 2.0 + 1
    assert 0.05 < np.mean(shares) < 0.6


def _elevation(camera: Camera) -> np.ndarray:
    """Degrees above the horizontal of the ray through each pixel."""
    x, y = np.meshgrid(*[((np.arange(SIZE) + 0.5) / SIZE - 0.5) / camera.focal] * 2)
    up = -y * np.cos(camera.pitch) - np.sin(camera.pitch)
    return np.degrees(np.arctan2(up, np.hypot(x, np.cos(camera.pitch) - y * np.sin(camera.pitch))))


def test_beams_are_scan_lines() -> None:
    """On a level camera each beam straight ahead is a row of its own, at the height that its elevation says."""
    mask = lidar_mask(Camera(height=1.65, pitch=0.0, focal=1.2), 512, np.random.default_rng(0))
    rows = np.nonzero(mask[:, 250:262].any(1))[0]
    expected = (0.5 - 1.2 * np.tan(np.radians(np.linspace(2.0, -24.8, 40)))) * 512
    expected = expected[expected < 512]
    np.testing.assert_allclose(rows, expected, atol=1.5)
    assert 0.01 < mask.mean() < 0.05


def test_virtual_kitti(roots: dict[str, Path]) -> None:
    root = roots["virtual_kitti"]
    captions = json.loads((root / "captions.json").read_text())
    assert {path.name for path in root.iterdir()} == {
        "captions.json", "Scene01", "Scene02", "Scene06", "Scene18", "Scene20",
    }  # fmt: skip
    assert (root / "Scene01/clone/frames/rgb/Camera_0/rgb_00001.jpg").is_file()
    assert len(list((root / "Scene02").rglob("*.jpg"))) == NUM_VAL
    by_caption = {tuple(texts): image for image, texts in captions.items()}
    for _, shot in _shots("street"):
        image = by_caption[tuple(shot.captions)]
        assert _is_picture(root / image, shot.picture.image)
        values = _values(root / image.replace("rgb", "depth").replace(".jpg", ".png"))
        assert values.dtype == np.uint16
        np.testing.assert_array_equal(values == 65_535, ~shot.picture.valid_mask)
        valid = shot.picture.valid_mask
        np.testing.assert_allclose(values[valid] / 100, shot.picture.depth[valid], atol=6e-3)


def test_lvis(roots: dict[str, Path]) -> None:
    root = roots["lvis"]
    content = {split: json.loads((root / f"lvis_v1_{split}.json").read_text()) for split in SPLITS}
    captions = json.loads((root / "captions.json").read_text())
    assert content["train"]["categories"] == content["val"]["categories"]
    categories = {record["id"]: record for record in content["train"]["categories"]}
    assert list(categories) == list(range(1, 23))
    assert {record["name"].replace("_", " ") for record in categories.values()} == set(
        DISTRIBUTIONS["long_tail"].categories
    )
    shown: Counter[int] = Counter()
    for split, shot in _shots("long_tail"):
        image = content[split]["images"][shot.number]
        name = "/".join(image["coco_url"].split("/")[-2:])
        assert _is_picture(root / name, shot.picture.image)
        assert captions[name] == shot.captions
        records = [record for record in content[split]["annotations"] if record["image_id"] == image["id"]]
        for record, mask, k in zip(records, shot.picture.masks, shot.picture.object_indices, strict=True):
            np.testing.assert_array_equal(coco_mask.decode(record["segmentation"]) > 0, mask)
            assert record["area"] == mask.sum()
            assert categories[record["category_id"]]["name"].replace("_", " ") == shot.scene.objects[k].category
        present = {record["category_id"] for record in records}
        assert {*image["neg_category_ids"]} == {*categories} - present
        assert image["not_exhaustive_category_ids"] == []
        if split == "train":
            shown.update(present)
    for number, record in categories.items():
        assert record["image_count"] == shown[number]
        assert record["frequency"] == "r"
        assert record["instance_count"] >= record["image_count"]
    assert sum(record["instance_count"] for record in categories.values()) == len(content["train"]["annotations"])
    assert [frequency(count) for count in (0, 10, 11, 100, 101)] == ["r", "r", "c", "c", "f"]
    assert not {r["id"] for r in content["train"]["annotations"]} & {r["id"] for r in content["val"]["annotations"]}


def test_coco_is_coco_whatever_it_is_called(roots: dict[str, Path]) -> None:
    assert _digests(roots["coco"]) == _digests(roots["coco_pose"])
    content = json.loads((roots["coco"] / "annotations" / "instances_train2017.json").read_text())
    for split, shot in _shots("coco"):
        if split == "train":
            records = [record for record in content["annotations"] if record["image_id"] == shot.number + 1]
            names = [shot.scene.objects[k].category for k in shot.picture.object_indices]
            assert [record["category_id"] for record in records] == [THING_BY_NAME[name].id for name in names]
            assert len(shot.captions) == CAPTIONS_PER_IMAGE
