"""The registry, and what each format writes, read with nothing but general readers."""

import io
import json
import re
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS, choose_format
from datasetdm.datasets.exporting.tar_shards import write_webdataset
from datasetdm.errors import DatasetDMError
from datasetdm.task_parts import TASKS
from tests.datasets.exporting.conftest import (
    CATEGORIES,
    MakeExport,
    contents_of,
    image_of,
    iou,
    samples_of,
    source_set,
)

DOCS = Path(__file__).parents[3] / "docs" / "exports.md"


def test_the_documentation_has_every_format_and_task() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", DOCS.read_text(), re.M)
    table = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    for name, known in FORMATS.items():
        assert ["yes" in cell for cell in table[name][1 : 1 + len(TASKS)]] == [task in known.tasks for task in TASKS]


def test_formats_that_cannot_carry_a_task_say_which_can() -> None:
    with pytest.raises(DatasetDMError, match="These can: imagefolder, parquet, webdataset"):
        choose_format("yolo", "depth")
    with pytest.raises(DatasetDMError, match="No format can"):
        choose_format("coco", "normals")


@pytest.mark.parametrize("task", list(TASKS))
def test_every_format_writes_every_task_that_it_can_carry(task: str, make_export: MakeExport) -> None:
    for name, known in FORMATS.items():
        if task in known.tasks:
            folder, samples = make_export(task, name, count=2, splits=("train", "test"))
            assert folder.is_dir() and len(samples) == 4
        else:
            with pytest.raises(DatasetDMError):
                choose_format(name, task)


def test_coco_json_is_complete(make_export: MakeExport) -> None:
    folder, samples = make_export("instance", "coco", count=12)
    content = json.loads((folder / "annotations" / "instances_train.json").read_text())
    assert {"description", "url", "version", "year", "contributor", "date_created"} <= content["info"].keys()
    licenses = {record["id"]: record["name"] for record in content["licenses"]}
    assert {licenses[image["license"]] for image in content["images"]} == {"CC BY 4.0", "generated"}
    assert all(image["coco_url"] for image in content["images"] if licenses[image["license"]] == "CC BY 4.0")
    assert content["images"][3]["score"] == 0.5 and content["images"][3]["seed"] == 13
    assert [c["id"] for c in content["categories"]] == [c.id for c in CATEGORIES["instance"]]
    coco = COCO(folder / "annotations" / "instances_train.json")
    for image_id, sample in enumerate(samples, 1):
        records = coco.loadAnns(coco.getAnnIds(image_id))
        assert len(records) == len(sample.target)
        for record, mask in zip(records, sample.target.masks, strict=True):
            assert (coco.annToMask(record) == mask).all()
            assert record["area"] == mask.sum() and record["iscrowd"] in (0, 1)
            x, y, width, height = map(int, record["bbox"])
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
    captions = COCO(folder / "annotations" / "captions_train.json")
    assert [a["caption"] for a in captions.anns.values()] == [s.caption for s in samples if s.caption]


def test_coco_polygons_are_lists_but_for_crowds(make_export: MakeExport) -> None:
    folder, _ = make_export("instance", "coco_polygons", count=8)
    records = json.loads((folder / "annotations" / "instances_train.json").read_text())["annotations"]
    assert {isinstance(record["segmentation"], list) for record in records if not record["iscrowd"]} == {True}
    assert {isinstance(record["segmentation"], dict) for record in records if record["iscrowd"]} == {True}


@pytest.mark.parametrize("task", ["instance", "pose"])
def test_yolo_boxes(task: str, make_export: MakeExport) -> None:
    folder, samples = make_export(task, "yolo_boxes", count=6)
    for sample in samples:
        height, width = sample.image.shape[:2]
        name = re.sub(r'[<>:"|?*]', "_", Path(sample.name).stem)
        lines = (folder / "labels" / "train" / f"{name}.txt").read_text().splitlines()
        kept = sample.target.select(np.flatnonzero(~sample.target.crowd))
        assert len(lines) == len(kept)
        for line, mask in zip(lines, kept.masks, strict=True):
            _, x, y, across, down = map(float, line.split())
            columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
            expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            found = [
                (x - across / 2) * width,
                (y - down / 2) * height,
                (x + across / 2) * width,
                (y + down / 2) * height,
            ]
            np.testing.assert_allclose(found, expected, atol=1e-3)


def test_voc_objects_and_boxes(make_export: MakeExport) -> None:
    folder, samples = make_export("instance", "voc", count=8, splits=("train", "val"))
    lists = {file.stem: file.read_text().split() for file in (folder / "ImageSets" / "Main").iterdir()}
    assert lists["trainval"] == lists["train"] + lists["val"] and len(lists["train"]) == 8
    for stem, sample in zip(lists["trainval"], samples, strict=True):
        tree = ElementTree.parse(folder / "Annotations" / f"{stem}.xml")
        objects, target = image_of(folder / "SegmentationObject" / f"{stem}.png"), sample.target
        assert (folder / "JPEGImages" / str(tree.findtext("filename"))).is_file()
        names = [entry.findtext("name") for entry in tree.iter("object")]
        assert names == [CATEGORIES["instance"][label].name for label in target.labels]
        single = target.masks.sum(axis=0) == 1
        for number, (entry, mask, crowd) in enumerate(
            zip(tree.iter("object"), target.masks, target.crowd, strict=True), 1
        ):
            assert ((objects == (255 if crowd else number))[single] == mask[single]).all()
            assert entry.findtext("difficult") == str(int(crowd))
            box = {side: int(str(entry.findtext(f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax")}
            columns, rows = (np.flatnonzero(mask.any(axis=axis)) + 1 for axis in (0, 1))
            assert list(box.values()) == [columns[0], rows[0], columns[-1], rows[-1]]


def test_voc_holds_no_more_categories_than_pixel_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = source_set(tmp_path / "set", "instance", samples_of("instance", 1))
    contents = contents_of("instance", part)
    many = [type(CATEGORIES["instance"][0])(id=n, name=f"thing {n}") for n in range(1, 300)]
    object.__setattr__(contents, "categories", tuple(many))
    with pytest.raises(DatasetDMError, match="254 categories, and there are 299"):
        export(contents, FORMATS["voc"].write, tmp_path / "out")


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_cvat_masks(task: str, make_export: MakeExport) -> None:
    folder, samples = make_export(task, "cvat", count=8)
    root = ElementTree.parse(folder / "train" / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    names = [category.name for category in CATEGORIES[task]]
    assert [label.findtext("name") for label in root.iter("label")] == [n for n in names if n != "background"]
    assert [label["name"] for label in json.loads((folder / "labels.json").read_text())] == names[task == "semantic" :]
    for image, sample in zip(root.iter("image"), samples, strict=True):
        assert (folder / "train" / "images" / image.attrib["name"]).is_file()
        size = int(image.attrib["height"]), int(image.attrib["width"])
        assert size == sample.image.shape[:2]
        found = [(names.index(entry.attrib["label"]), _cvat_mask(entry, size)) for entry in image.iter("mask")]
        target = sample.target
        expected = (
            list(zip(target.labels, target.masks, strict=True))
            if task == "instance"
            else [(label, target.labels == label) for label in (1, 2, 3) if (target.labels == label).any()]
        )
        assert [label for label, _ in found] == [label for label, _ in expected]
        assert all(iou(one, other) == 1 for (_, one), (_, other) in zip(found, expected, strict=True))


def _cvat_mask(entry: ElementTree.Element, size: tuple[int, int]) -> np.ndarray:
    left, top, width, height = (int(entry.attrib[key]) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in entry.attrib["rle"].split(",")]
    values = np.concatenate([np.full(run, number % 2 == 1) for number, run in enumerate(runs)])
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = values.reshape(height, width)
    return mask


def test_cvat_skeletons(make_export: MakeExport) -> None:
    folder, samples = make_export("pose", "cvat", count=6)
    root = ElementTree.parse(folder / "train" / "annotations.xml").getroot()
    for image, sample in zip(root.iter("image"), samples, strict=True):
        for skeleton, points in zip(image.iter("skeleton"), sample.target.keypoints, strict=True):
            entries = list(skeleton.iter("points"))
            found = np.array([[float(value) for value in entry.attrib["points"].split(",")] for entry in entries])
            hidden = [(int(entry.attrib["outside"]), int(entry.attrib["occluded"])) for entry in entries]
            assert hidden == [(int(flag == 0), int(flag == 1)) for flag in points[:, 2]]
            np.testing.assert_allclose(found, points[:, :2] + 0.5, atol=0.01)


def test_imagefolder_lines(make_export: MakeExport) -> None:
    folder, samples = make_export("instance", "imagefolder", count=8, splits=("train", "val"))
    for split, part in (("train", samples[:8]), ("val", samples[8:])):
        lines = (folder / split / "metadata.jsonl").read_text().splitlines()
        for line, sample in zip(map(json.loads, lines), part, strict=True):
            assert (image_of(folder / split / line["file_name"]) == sample.image).all()
            assert line["caption"] == sample.caption
            assert json.loads(line["facts"]).get("score") == (0.5 if split == "train" else None)
            assert line["objects"]["category"] == sample.target.labels.tolist()
            masks = [coco_mask.decode(rle) for rle in line["objects"]["segmentation"]]
            assert all((one == other).all() for one, other in zip(masks, sample.target.masks, strict=True))


def test_parquet_holds_everything(make_export: MakeExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasetdm.datasets.exporting.parquet.SHARD", 3)
    monkeypatch.setattr("datasetdm.datasets.exporting.parquet.GROUP", 2)
    folder, samples = make_export("pose", "parquet", count=8)
    files = sorted((folder / "data").iterdir())
    assert [file.name for file in files] == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert [pq.ParquetFile(file).num_row_groups for file in files] == [2, 2, 1]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    for row, sample in zip(rows, samples, strict=True):
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            assert (np.array(image) == sample.image).all()
        np.testing.assert_allclose(row["objects"]["keypoints"], sample.target.keypoints)
    features = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["objects"]["category"]["feature"] == {"names": ["person"], "_type": "ClassLabel"}


def test_webdataset_shards(tmp_path: Path) -> None:
    samples = samples_of("depth", 8)
    part = source_set(tmp_path / "set", "depth", samples)
    export(contents_of("depth", part), lambda work, folder: write_webdataset(work, folder, 20_000), tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [shard.name for shard in shards] == [f"train-{n:06d}.tar" for n in range(len(shards))] and len(shards) > 2
    found: dict[str, dict[str, bytes]] = {}
    for shard in shards:
        with tarfile.open(shard) as archive:
            for entry in archive:
                stem, _, kind = entry.name.partition(".")
                found.setdefault(stem, {})[kind] = archive.extractfile(entry).read()  # type: ignore[union-attr]
    assert len(found) == 8
    for files, sample in zip(found.values(), samples, strict=True):
        assert set(files) == {"png", "json", "txt", "depth.png"}
        assert json.loads(files["json"])["file_name"] == re.sub("[<>]", "_", sample.name)
        assert files["txt"].decode() == sample.caption
        with Image.open(io.BytesIO(files["depth.png"])) as image:
            np.testing.assert_allclose(np.array(image) / 1000, sample.target.depth, atol=5e-4)
