"""Each format is opened by a tool that reads it. None of the tools comes with the project: see docs/exports.md."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.exporting.conftest import CATEGORIES, MakeExport, iou
from tests.fiftyone_process import ask_fiftyone, needs_fiftyone

pytestmark = pytest.mark.extended


@pytest.mark.parametrize("name", ["coco", "coco_polygons"])
def test_supervision_reads_coco(name: str, make_export: MakeExport) -> None:
    supervision = pytest.importorskip("supervision")
    folder, samples = make_export("instance", name, count=10)
    dataset = supervision.DetectionDataset.from_coco(
        str(folder / "images/train"), str(folder / "annotations/instances_train.json"), force_masks=True
    )
    assert len(dataset) == 10
    for (_, image, found), sample in zip(dataset, samples, strict=True):
        assert (image[..., ::-1] == sample.image).all()
        _compare(found, sample.target, [c.name for c in CATEGORIES["instance"]], dataset.classes, 0.7)
        if name == "coco" and len(sample.target):
            assert (found.mask == sample.target.masks).all()


def test_supervision_reads_yolo(make_export: MakeExport) -> None:
    supervision = pytest.importorskip("supervision")
    folder, samples = make_export("instance", "yolo", count=10)
    dataset = supervision.DetectionDataset.from_yolo(
        str(folder / "images/train"), str(folder / "labels/train"), str(folder / "data.yaml"), force_masks=True
    )
    assert len(dataset) == 10 and dataset.classes == [c.name for c in CATEGORIES["instance"]]
    by_pixels = {image[..., ::-1].tobytes(): found for _, image, found in dataset}
    for sample in samples:
        kept = sample.target.select(np.flatnonzero(~sample.target.crowd))
        # It draws the outline itself, seams and all, which is as wide as a pixel: these images are tiny.
        _compare(by_pixels[sample.image.tobytes()], kept, dataset.classes, dataset.classes, 0.6)


def test_supervision_reads_voc(make_export: MakeExport) -> None:
    supervision = pytest.importorskip("supervision")
    folder, samples = make_export("instance", "voc", count=10)
    dataset = supervision.DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
    by_pixels = {image[..., ::-1].tobytes(): found for _, image, found in dataset}
    for sample in samples:
        found = by_pixels[sample.image.tobytes()]
        boxes = [[c.min(), r.min(), c.max() + 1, r.max() + 1] for r, c in map(np.nonzero, sample.target.masks)]
        np.testing.assert_array_equal(found.xyxy, np.array(boxes).reshape(-1, 4))


def _compare(found: Any, target: Any, names: list[str], classes: list[str], lowest: float) -> None:
    assert [classes[number] for number in found.class_id] == [names[label] for label in target.labels]
    if len(target):
        assert min(iou(one, other) for one, other in zip(found.mask, target.masks, strict=True)) > lowest


@pytest.mark.parametrize(("task", "name", "reader"), [
    ("instance", "coco", "coco_instances"),
    ("pose", "coco", "coco_person_keypoints"),
    ("instance", "voc", "voc"),
    ("semantic", "voc", "voc"),
    ("instance", "cvat", "cvat"),
    ("semantic", "cvat", "cvat"),
    ("pose", "cvat", "cvat"),
    ("instance", "yolo_boxes", "yolo"),
])  # fmt: skip
def test_datumaro_reads(
    task: str, name: str, reader: str, make_export: MakeExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    datumaro = pytest.importorskip("datumaro")
    if name == "voc":  # its list of labels cannot hold a colon
        plain = [replace(category, name=category.name.replace(":", "")) for category in CATEGORIES[task]]
        monkeypatch.setitem(CATEGORIES, task, tuple(plain))
    folder, samples = make_export(task, name, count=8)
    dataset = datumaro.Dataset.import_from(str(folder), reader)
    items = {_upright_bytes(item.media.data): item for item in dataset}
    assert len(items) == 8
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    for sample in samples:
        found = items[sample.image.tobytes()].annotations
        of_kind = [entry for entry in found if entry.type.name in ("mask", "bbox", "points")]
        labels = {names[entry.label] for entry in of_kind}
        target = sample.target
        if task == "instance":
            kept = target if name != "yolo_boxes" else target.select(np.flatnonzero(~target.crowd))
            assert labels >= {CATEGORIES[task][label].name for label in kept.labels}
        if (task, name) == ("instance", "coco"):
            entries = sorted((entry for entry in found if entry.type.name == "mask"), key=lambda entry: entry.id)
            masks = [entry.image for entry in entries]
            assert all((one == other).all() for one, other in zip(masks, target.masks, strict=True))
        if name == "cvat" and task != "pose":
            masks = [np.asarray(entry.image, dtype=bool) for entry in found if entry.type.name == "mask"]
            expected = target.masks if task == "instance" else [target.labels == n for n in (1, 2, 3)]
            assert all((one == other).all() for one, other in zip(masks, [m for m in expected if m.any()], strict=True))
        if (task, name) == ("semantic", "voc"):
            for entry in found:
                label = 255 if names[entry.label] == "ignored" else entry.label
                assert (entry.image == (target.labels == label)).all()


def _upright_bytes(data: Any) -> bytes:
    return np.asarray(data)[..., 2::-1].astype(np.uint8).tobytes()


@pytest.mark.parametrize("task", ["instance", "semantic", "depth", "pose"])
@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset"])
def test_datasets_reads(task: str, name: str, make_export: MakeExport, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder, samples = make_export(task, name, count=6, splits=("train", "test"))
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 6, "test": 6}
    for row, sample in zip(loaded["train"], samples[:6], strict=True):
        image, facts = (row["png"], row["json"]) if name == "webdataset" else (row["image"], row)
        assert (np.array(image.convert("RGB")) == sample.image).all()
        assert facts["caption"] == sample.caption
        kind = {"semantic": "mask", "depth": "depth"}.get(task)
        if kind:
            shown = np.array(row[f"{kind}.png"] if name == "webdataset" else row[kind])
            expected = sample.target.labels if task == "semantic" else np.rint(sample.target.depth * 1000)
            assert (shown == expected).all()
        else:
            assert len(facts["objects"]["bbox"]) == len(sample.target)
    if name == "parquet" and task == "instance":
        label = loaded["train"].features["objects"]["category"].feature
        assert label.names == [c.name for c in CATEGORIES["instance"]]


def test_webdataset_reads(make_export: MakeExport) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder, samples = make_export("semantic", "webdataset", count=6)
    shards = [str(path) for path in sorted(folder.glob("*.tar"))]
    read = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    for row, sample in zip(read, samples, strict=True):
        assert (row["png"] == sample.image).all() and row["txt"] == sample.caption
        assert (row["mask.png"][..., 0] == sample.target.labels).all()


FIFTYONE = {
    "coco": ("COCODetectionDataset", {"data_path": "images/train", "labels_path": "annotations/instances_train.json"}),
    "yolo_boxes": ("YOLOv5Dataset", {"dataset_dir": ".", "yaml_path": "data.yaml"}),
    "cvat": ("CVATImageDataset", {"data_path": "train/images", "labels_path": "train/annotations.xml"}),
}
OBJECTS_IN_FIFTYONE = """
kind, options, name = arguments
dataset = fiftyone.Dataset.from_dir(dataset_type=getattr(fiftyone.types, kind), **options)
fields = list(dataset.get_field_schema(embedded_doc_type=fiftyone.Detections))
objects = [one for field in fields for found in dataset.values(f"{field}.detections") for one in found or []]
areas = [None if one.mask is None else int(one.mask.sum()) for one in objects]
answer = {"files": dataset.values("filepath"), "areas": areas, "labels": [one.label for one in objects]}
"""


@needs_fiftyone
@pytest.mark.parametrize("name", FIFTYONE)
def test_fiftyone_reads_coco_yolo_and_cvat(name: str, make_export: MakeExport) -> None:
    kind, places = FIFTYONE[name]
    folder, samples = make_export("instance", name, count=6)
    options: dict[str, Any] = {key: str(folder / place) for key, place in places.items()}
    options |= {"yolo_boxes": {"split": "train"}, "coco": {"label_types": ["segmentations"]}}.get(name, {})
    found = ask_fiftyone(OBJECTS_IN_FIFTYONE, kind, options, name)
    assert len(found["files"]) == len(samples) and all(Path(file).is_file() for file in found["files"])
    if name == "cvat":
        return  # FiftyOne takes boxes and polygons from CVAT's files, and no masks
    targets = [sample.target for sample in samples]
    kept = [mask for target in targets for mask, crowd in zip(target.masks, target.crowd, strict=True)
            if name == "coco" or not crowd]  # fmt: skip
    assert len(found["labels"]) == len(kept)
    if name == "coco":
        np.testing.assert_allclose(sorted(found["areas"]), sorted(mask.sum() for mask in kept), rtol=0.02)


def test_ultralytics_checks_the_labels(make_export: MakeExport) -> None:
    data = pytest.importorskip("ultralytics.data.utils")
    for task, name, keypoints in (("instance", "yolo", 0), ("pose", "yolo", 17), ("instance", "yolo_boxes", 0)):
        folder, _ = make_export(task, name, count=6)
        described = data.check_det_dataset(str(folder / "data.yaml"))
        assert described["nc"] == len(CATEGORIES[task])
        for image in sorted((folder / "images" / "train").iterdir()):
            label = folder / "labels" / "train" / f"{image.stem}.txt"
            result = data.verify_image_label(
                (str(image), str(label), "", bool(keypoints), described["nc"], keypoints, 3, False)
            )
            assert result[0] is not None, result[-1]
