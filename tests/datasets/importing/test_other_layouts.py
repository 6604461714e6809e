"""Poses, boxes, index masks and depth maps."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.config import Benchmark, Ingest
from datasetdm.datasets.native import open_split
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.import_data import Imported
from datasetdm.pipeline.ingestion.ingest import ingest
from tests.datasets.importing.builders import coco, ids_of, pictures, put, write
from tests.datasets.importing.conftest import Import

REAL = Path(__file__).parents[4] / "shared" / "realdata"


def ingested(imported: Imported, out: Path) -> dict[str, int | float]:
    """What `ingest` makes of the block."""
    from ruamel.yaml import YAML

    (block,) = YAML(typ="safe").load(imported.block.text).values()
    settings = Benchmark.model_validate(block)
    return ingest(settings.source, settings.ingest, settings.task, settings.seeds, out)


def photos(folder: Path, names: list[str], size: tuple[int, int] = (20, 30)) -> None:
    rng = np.random.default_rng(list("".join(names).encode()))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)


def test_yolo_pose(run_import: Import, tmp_path: Path) -> None:
    root, rng = tmp_path / "export", np.random.default_rng(1)
    points = {}
    for number in range(8):
        photos(root / "images" / "train", [f"{number}.png"])
        xy = rng.uniform(0.2, 0.8, (17, 2))
        flags = rng.integers(0, 3, 17)
        points[f"{number}.png"] = xy, flags
        numbers = " ".join(f"{x!r} {y!r} {flag}" for (x, y), flag in zip(xy.tolist(), flags, strict=True))
        write(root / "labels" / "train" / f"{number}.txt", f"0 0.5 0.5 0.8 0.8 {numbers}\n")
    write(root / "data.yaml", "names: {0: person}\nkpt_shape: [17, 3]\nflip_idx: []\n")
    imported = run_import(root)
    assert "task: pose" in imported.report[1]
    split = open_split("coco_pose", imported.folder, "train")
    sample = split[0]
    xy, flags = points[Path(sample.name).name]
    shown = flags > 0
    np.testing.assert_allclose(sample.target.keypoints[0, shown, :2], (xy * (30, 20))[shown], atol=1e-3)
    assert sample.target.keypoints[0, :, 2].tolist() == flags.tolist()
    np.testing.assert_allclose(sample.target.boxes[0], [3, 2, 24, 16], atol=1e-3)
    assert ingested(imported, tmp_path / "real")["categories"] == 1


def test_coco_keypoints_in_another_order(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "export", 6)
    content = coco(items, {"person": 1, "cat": 1, "dog": 1, "traffic light": 1})
    names = [name.replace("_", " ").title() for name in reversed(KEYPOINTS)]
    content["categories"] = [
        {"id": 1, "name": "person", "keypoints": names, "skeleton": []},
        {"id": 2, "name": "ball", "keypoints": []},
    ]
    for record in content["annotations"]:
        record |= {"keypoints": [value for k in range(17) for value in (k, 1, 2)], "num_keypoints": 17}
    write(tmp_path / "export" / "poses.json", content)
    split = open_split("coco_pose", run_import(tmp_path / "export").folder, "train")
    assert split[0].target.keypoints[0, :, 0].tolist() == [float(16 - k) for k in range(17)]


def test_other_keypoints_are_refused(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "export", 4)
    content = coco(items)
    for category in content["categories"]:
        category["keypoints"] = ["handle", "rim"]
    for record in content["annotations"]:
        record["keypoints"] = [1, 1, 2, 3, 3, 2]
    write(tmp_path / "export" / "cups.json", content)
    with pytest.raises(DatasetDMError, match="has the keypoints handle, rim"):
        run_import(tmp_path / "export")
    assert run_import(tmp_path / "export", task="instance").folder.is_dir()


def boxes_only(root: Path, count: int = 6) -> None:
    items = pictures(root, count)
    content = coco(items)
    for record in content["annotations"]:
        record["segmentation"] = []
    write(root / "boxes.json", content)


def test_boxes_alone_say_what_to_do(run_import: Import, tmp_path: Path) -> None:
    boxes_only(tmp_path / "export")
    with pytest.raises(DatasetDMError, match=r"9 of the 9 objects have a box but no mask(.|\n)*--sam(.|\n)*as_masks"):
        run_import(tmp_path / "export")
    imported = run_import(tmp_path / "export", boxes="as_masks")
    sample = open_split("coco", imported.folder, "train")[0]
    assert sample.target.masks[0].sum() == 90


def voc_xml(item: Any) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{min(p[0::2])}</xmin><ymin>{min(p[1::2])}</ymin>"
        f"<xmax>{max(p[0::2])}</xmax><ymax>{max(p[1::2])}</ymax></bndbox></object>"
        for label, p in item.polygons
    )
    height, width = item.size
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation><filename>{item.name}</filename>{size}{objects}</annotation>"


def test_voc_boxes(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "photos", 6)
    for item in items:
        put(item, tmp_path / "export" / "JPEGImages" / item.name)
        write(tmp_path / "export" / "Annotations" / f"{Path(item.name).stem}.xml", voc_xml(item))
    imported = run_import(tmp_path / "export", boxes="as_masks")
    assert "6 XML files" in imported.report[0]
    split = open_split("coco", imported.folder, "train")
    assert [category.name for category in split.categories] == sorted(ids_of(items))


def masks(root: Path, count: int = 10, **kinds: str) -> None:
    """Images and index masks; number k shows category k % 2 + 1."""
    names = [f"photo {number}.JPG" for number in range(count)]
    photos(root / "images", names)
    for number, name in enumerate(names):
        mask = np.zeros((20, 30), dtype=np.uint8)
        mask[5:15, 5:20] = number % 2 + 1
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / f"{Path(name).stem}.png")


def test_index_masks(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    masks(root)
    with pytest.raises(DatasetDMError, match=r"Nothing in .*export says what the pixel values"):
        run_import(root)
    write(tmp_path / "names.txt", "background\nfork lift\npallet\n")
    imported = run_import(root, classes=tmp_path / "names.txt")
    split = open_split("voc", imported.folder, "train")
    assert [category.name for category in split.categories] == ["background", "fork lift", "pallet"]
    assert sorted(np.unique(split[0].target.labels).tolist()) in ([0, 1], [0, 2])
    assert ingested(imported, tmp_path / "real")["test_images"] == 2


def test_binary_masks_of_one_category(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    masks(root)
    for file in (root / "masks").iterdir():
        mask = np.array(Image.open(file))
        Image.fromarray(np.repeat(((mask > 0) * 255).astype(np.uint8)[..., None], 3, axis=2)).save(file)
    write(root / "classes.txt", "background\ncrack\n")
    split = open_split("voc", run_import(root).folder, "train")
    assert np.unique(split[0].target.labels).tolist() == [0, 1]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real images of VOC")
def test_a_voc_folder(run_import: Import, tmp_path: Path) -> None:
    imported = run_import(REAL / "PascalVOC12")
    sides = [open_split("voc", imported.folder, side) for side in ("train", "val")]  # type: ignore[arg-type]
    assert sum(map(len, sides)) == 13
    original = {Path(file.stem).stem for file in (REAL / "PascalVOC12" / "JPEGImages").iterdir()}
    assert {Path(split.name_of(index)).stem for split in sides for index in range(len(split))} == original
    assert sides[0].categories[1].name == "aeroplane"


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_depth(kind: str, run_import: Import, tmp_path: Path) -> None:
    root, rng = tmp_path / "export", np.random.default_rng(0)
    metres = {}
    for number in range(8):
        name = f"frame {number}"
        photos(root / "rgb", [f"{name}.jpg"])
        metres[name] = rng.uniform(0.3, 0.9, (20, 30)).astype(np.float32)
        metres[name][:3] = 0
        (root / "depth").mkdir(exist_ok=True)
        if kind == "npy":
            np.save(root / "depth" / f"{name}.npy", metres[name])
        else:
            Image.fromarray(np.rint(metres[name] * 1000).astype(np.uint16)).save(root / "depth" / f"{name}.png")
    imported = run_import(root, scene="workbench")
    assert imported.report[1] == "8 images of a workbench; task: depth"
    assert imported.report[2].startswith("depth: up to 0.") and imported.report[2].count(" m;") == 1
    assert ("metres" if kind == "npy" else "millimetres") in imported.report[2]
    sample = open_split("depth_folder", imported.folder, "train")[0]
    np.testing.assert_allclose(sample.target.depth, metres[Path(sample.name).stem], atol=0.0006)
    assert not sample.target.valid_mask[:3].any()
    assert "max_depth: 0.9" in imported.block.text
    assert ingested(imported, tmp_path / "real")["categories"] == 1


def test_a_pickle_is_not_loaded(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    photos(root / "rgb", ["a.jpg", "b.jpg", "c.jpg"])
    (root / "depth").mkdir()
    for name in "abc":
        np.save(root / "depth" / f"{name}.npy", np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetDMError, match=r"3 of 3 images (.|\n)*cannot be read as an array of numbers"):
        run_import(root)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real depth of KITTI")
def test_the_unit_of_kitti_is_given(run_import: Import, tmp_path: Path) -> None:
    source = REAL / "kitti" / "gt_depth"
    root = tmp_path / "export"
    for file in sorted(source.glob("*drive_0005*/proj_depth/velodyne_raw/image_02/*.png")):
        (image,) = (REAL / "kitti" / "input").glob(f"*/*drive_0005*/image_02/data/{file.name}")
        for folder, original in (("image", image), ("depth", file)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / file.name).symlink_to(original)
    imported = run_import(root, depth_scale=256.0, scene="street")
    split = open_split("depth_folder", imported.folder, "train")
    depth = split[0].target.depth
    assert 60 < depth.max() < 130
    assert Ingest.model_validate({"num_real": 1, "num_dev": 1})


def test_every_shape_of_labelme(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    photos(root, ["a.png", "b.png", "c.png"])
    patch = np.zeros((4, 6), dtype=np.uint8)
    patch[:, 2:] = 1
    buffer = io.BytesIO()
    Image.fromarray(patch).save(buffer, format="png")
    square = [[2, 2], [8, 2], [8, 8], [2, 8]]
    kinds = [
        {"label": "cat", "shape_type": "polygon", "points": square, "group_id": 1},
        {"label": "cat", "shape_type": "polygon", "points": [[x + 10, y] for x, y in square], "group_id": 1},
        {"label": "dog", "shape_type": "circle", "points": [[20, 10], [25, 10]]},
        {"label": "dog", "shape_type": "mask", "points": [[3, 12], [8, 15]], "mask": encoded(buffer.getvalue())},
        {"label": "cat", "shape_type": "rectangle", "points": [[12, 18], [6, 10]]},
        {"label": "cat", "shape_type": "line", "points": [[1, 1], [6, 10]]},
        {"label": "_background_", "shape_type": "polygon", "points": square},
    ]
    for name in "abc":
        write(root / f"{name}.json", {"version": "5", "flags": {}, "shapes": kinds, "imagePath": f"{name}.png"})
    imported = run_import(root, boxes="as_masks")
    target = open_split("coco", imported.folder, "train")[0].target
    sizes = {(label, int(mask.sum())) for label, mask in zip(target.labels.tolist(), target.masks, strict=True)}
    assert {(0, 72), (1, 16), (0, 48)} <= sizes
    (circle,) = (size for label, size in sizes if label == 1 and size != 16)
    assert abs(circle - 25 * np.pi) < 8
    report = "\n".join(imported.report)
    assert "3 × shapes are of the kind line" in report and "3 × shapes are labelled _background_" in report


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
