"""COCO person keypoints: what is written reads back equal, and broken files are named."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.persons import KEYPOINTS, MIRRORED, SKELETON, Persons
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.native.coco import open_native_coco_keypoints
from datasetdm.datasets.standard.coco_keypoints import load_coco_keypoints, save_coco_keypoints
from datasetdm.errors import DatasetDMError

PERSON = Category(id=1, name="person", supercategory="person")
HEIGHT, WIDTH = 12, 16


@st.composite
def some_persons(draw: st.DrawFn) -> Persons:
    count = draw(st.integers(0, 3))
    masks = draw(arrays.arrays(bool, (count, HEIGHT, WIDTH)))
    masks[:, 3, 4] = True
    x = draw(arrays.arrays(np.float32, (count, 17), elements=st.floats(0, WIDTH - 1, width=32)))
    y = draw(arrays.arrays(np.float32, (count, 17), elements=st.floats(0, HEIGHT - 1, width=32)))
    flags = draw(arrays.arrays(np.float32, (count, 17), elements=st.sampled_from([0, 1, 2])))
    sides = arrays.arrays(np.float32, (count, 4), elements=st.floats(0, HEIGHT, width=32))
    scores = arrays.arrays(np.float32, count, elements=st.floats(0, 1, width=32))
    return Persons(
        keypoints=np.where(flags[..., None] > 0, np.stack([x, y, flags], axis=2), 0).astype(np.float32),
        boxes=draw(sides),
        masks=masks,
        scores=draw(scores),
        crowd=draw(arrays.arrays(bool, count)),
    )


def a_sample(name: str, target: Persons, image_id: int = 0) -> Sample:
    image = np.full((HEIGHT, WIDTH, 3), 7, dtype=np.uint8)
    return Sample(name=name, image=image, caption=f"two people, {name}", target=target, image_id=image_id)


def one_person(flag: int = 2) -> Persons:
    masks = np.zeros((1, HEIGHT, WIDTH), dtype=bool)
    masks[0, 2:10, 4:8] = True
    keypoints = np.zeros((1, 17, 3), dtype=np.float32)
    keypoints[0, :5] = (5.5, 3.25, flag)
    boxes = np.array([[4, 2, 4, 8]], dtype=np.float32)
    return Persons(
        keypoints=keypoints, boxes=boxes, masks=masks, scores=np.ones(1, np.float32), crowd=np.zeros(1, bool)
    )


def assert_same(first: Persons, second: Persons) -> None:
    for name in ("keypoints", "boxes", "masks", "scores", "crowd"):
        before, after = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


@given(st.lists(some_persons(), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_what_is_written_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, targets: list[Persons]) -> None:
    root = tmp_path_factory.mktemp("round_trip")
    samples = [a_sample(f"{number}.png", target, number + 3) for number, target in enumerate(targets)]
    save_coco_keypoints(root / "train.json", root / "images", samples, [PERSON])
    read = load_coco_keypoints(root / "train.json", root / "images")
    assert (len(read), read.categories) == (len(samples), (PERSON,))
    for index, (before, after) in enumerate(zip(samples, read, strict=True)):
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        np.testing.assert_array_equal(before.image, after.image)
        assert_same(before.target, after.target)
        assert_same(before.target, read.target_of(index))
        useful = ~before.target.crowd & before.target.keypoints[..., 2].any(axis=1)
        assert read.labels_of(index) == (0,) * int(useful.sum())
        keypoints, boxes = read.poses_of(index)
        np.testing.assert_array_equal(keypoints, before.target.keypoints[useful])
        np.testing.assert_array_equal(boxes, before.target.boxes[useful])
        assert read.rejections_of(index) == ()


def test_the_same_samples_give_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    samples = [a_sample("a.png", one_person()), a_sample("b.png", one_person().select(np.zeros(1, bool)))]
    for name in ("one", "two"):
        save_coco_keypoints(tmp_path / name / "train.json", tmp_path / "images", iter(samples), [PERSON])
    files = [(tmp_path / name / "train.json").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["train.json"]
    assert len(json.loads(files[0])["images"]) == 2


def test_pycocotools_reads_and_judges_it(tmp_path: Path) -> None:
    save_coco_keypoints(tmp_path / "a.json", tmp_path / "images", [a_sample("a.png", one_person())], [PERSON])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "a.json"))
        found = truth.loadRes([{**truth.anns[1], "score": 0.9}])
        evaluation = COCOeval(truth, found, iouType="keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    record = truth.anns[1]
    assert record["num_keypoints"] == 5 and record["bbox"] == [4, 2, 4, 8] and record["area"] == 32
    assert truth.cats[1]["keypoints"] == list(KEYPOINTS)
    assert truth.cats[1]["skeleton"] == [list(pair) for pair in SKELETON]


def test_scores_of_a_prediction_are_not_written_as_visibility(tmp_path: Path) -> None:
    predicted = one_person()
    predicted.keypoints[..., 2] = 0.7
    with pytest.raises(ValueError, match="visibility"):
        save_coco_keypoints(tmp_path / "a.json", tmp_path / "images", [a_sample("a.png", predicted)], [PERSON])
    assert not (tmp_path / "a.json").exists()


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    samples = [a_sample("a.png", one_person()), a_sample("a.png", one_person())]
    with pytest.raises(DatasetDMError, match=r"a\.png"):
        save_coco_keypoints(tmp_path / "a.json", tmp_path / "images", samples, [PERSON])
    assert not (tmp_path / "a.json").exists()


def test_left_and_right_are_paired() -> None:
    assert MIRRORED[0] == 0 and KEYPOINTS[0] == "nose"
    for one, other in enumerate(MIRRORED[1:], start=1):
        assert {KEYPOINTS[one].partition("_")[0], KEYPOINTS[other].partition("_")[0]} == {"left", "right"}
        assert KEYPOINTS[one].partition("_")[2] == KEYPOINTS[other].partition("_")[2]


# --- files of others


def record(**changes: Any) -> dict[str, Any]:
    person = {
        "id": 5,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [4, 2, 4, 8],
        "segmentation": [[4, 2, 8, 2, 8, 10, 4, 10]],
        "keypoints": [5, 3, 2] * 4 + [0, 0, 0] * 13,
    }
    return {**person, **changes}


def write(root: Path, *annotations: dict[str, Any], category: dict[str, Any] | None = None) -> Path:
    """A native folder with one image, `val2017/a.png`."""
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)).save(root / "val2017" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": list(annotations),
        "categories": [category or {"id": 1, "name": "person", "keypoints": list(KEYPOINTS)}],
    }
    (root / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content))
    return root


def test_the_native_layout_opens_with_captions_and_kinds_of_persons(tmp_path: Path) -> None:
    crowd = {"id": 6, "iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [12, 24, 156]}}
    unlabelled = record(id=7, keypoints=[0, 0, 0] * 17)
    root = write(tmp_path, record(), record(**crowd, keypoints=[0] * 51), unlabelled)
    captions = {"annotations": [{"id": 1, "image_id": 1, "caption": "A person\nwaits."}]}
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(captions))
    split = open_native_coco_keypoints(root, "val")
    sample = split[0]
    assert sample.caption == "A person waits." and split.name_of(0) == "val2017_a.png"
    assert split.path_of(0) == root / "val2017" / "a.png" and split.id_of(0) == 1
    assert sample.target.crowd.tolist() == [False, True, False]
    assert (sample.target.keypoints[..., 2] > 0).sum(axis=1).tolist() == [4, 0, 0]
    assert sample.target.masks.sum(axis=(1, 2)).tolist() == [32, 24, 32]
    assert split.labels_of(0) == (0,)
    np.testing.assert_array_equal(split.image_of(0), sample.image)


def test_images_without_persons_are_kept(tmp_path: Path) -> None:
    split = open_native_coco_keypoints(write(tmp_path), "val")
    assert len(split) == 1 and len(split[0].target) == 0 and split.labels_of(0) == ()
    assert split[0].target.keypoints.shape == (0, 17, 3)


def test_a_keypoint_outside_is_left_out_and_told(tmp_path: Path) -> None:
    points = [5, 3, 2] * 4 + [WIDTH + 2, 3, 1] + [0, 0, 0] * 12
    split = open_native_coco_keypoints(write(tmp_path, record(keypoints=points)), "val")
    assert split[0].target.keypoints[0, 4].tolist() == [0, 0, 0]
    assert [item.reason for item in split.rejections_of(0)] == ["keypoint right_ear outside the image"]


def test_a_person_without_a_pixel_is_left_out_and_told(tmp_path: Path) -> None:
    speck = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    split = open_native_coco_keypoints(write(tmp_path, record(id=4, segmentation=speck), record()), "val")
    assert len(split[0].target) == 1 and split[0].target.keypoints[0, 0, 2] == 2
    assert [item.annotation_id for item in split.rejections_of(0)] == [4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1, 2, 2] * 14}, "51 numbers"),
        ({"keypoints": None}, "51 numbers"),
        ({"keypoints": [float("nan"), 2, 2] * 17}, "something else than numbers"),
        ({"keypoints": ["5", 2, 2] * 17}, "something else than numbers"),
        ({"keypoints": [5, 3, 3] * 17}, "visibility"),
        ({"keypoints": [500, 300, 2] * 17}, "far outside"),
        ({"bbox": [4, 2, 4]}, "'bbox' of 4 numbers"),
        ({"bbox": [4, 2, -4, 8]}, "has the bbox"),
        ({"bbox": [400, 2, 4, 8]}, "scaled with them"),
        ({"bbox": [float("inf"), 2, 4, 8]}, "something else than numbers"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, "RLE is for size"),
        ({"image_id": 9}, "which the file does not list"),
    ],
)
def test_broken_records_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetDMError, match=message) as caught:
        open_native_coco_keypoints(write(tmp_path, record(**changes)), "val")
    assert "annotation 5" in str(caught.value)


@pytest.mark.parametrize(
    "category",
    [
        {"id": 1, "name": "person"},
        {"id": 1, "name": "person", "keypoints": list(KEYPOINTS[:14])},
        {"id": 1, "name": "person", "keypoints": list(reversed(KEYPOINTS))},
    ],
)
def test_other_keypoints_are_refused(tmp_path: Path, category: dict[str, Any]) -> None:
    with pytest.raises(DatasetDMError, match="COCO's 17"):
        open_native_coco_keypoints(write(tmp_path, record(), category=category), "val")


def test_a_file_of_other_objects_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, record()) / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    content["categories"].append({"id": 2, "name": "car"})
    for text in (json.dumps(content), "[]", "{", json.dumps({"categories": 3})):
        file.write_text(text)
        with pytest.raises(DatasetDMError, match="person_keypoints_val2017"):
            open_native_coco_keypoints(tmp_path, "val")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="cocodataset"):
        open_native_coco_keypoints(tmp_path / "nowhere", "val")
    root = write(tmp_path, record())
    with pytest.raises(DatasetDMError, match="train2017"):
        open_native_coco_keypoints(root, "train")
    (root / "val2017" / "a.png").unlink()
    with pytest.raises(DatasetDMError, match="lacks 1 of the 1"):
        open_native_coco_keypoints(root, "val")


def test_damaged_and_resized_images_are_named(tmp_path: Path) -> None:
    split = open_native_coco_keypoints(write(tmp_path, record()), "val")
    Image.fromarray(np.zeros((HEIGHT, WIDTH + 1, 3), dtype=np.uint8)).save(split.path_of(0))
    for read in (lambda: split[0], lambda: split.image_of(0)):
        with pytest.raises(DatasetDMError, match="17 x 12"):
            read()
    split.path_of(0).write_bytes(split.path_of(0).read_bytes()[:40])
    with pytest.raises(DatasetDMError, match="cannot be read"):
        split.image_of(0)
