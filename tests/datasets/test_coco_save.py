"""What is written reads back equal, here and in the field's own readers."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools.coco import COCO

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.datasets.standard.coco_writing import save_coco
from datasetdm.errors import DatasetDMError

CATEGORIES = (
    Category(id=3, name="car"),
    Category(id=18, name="dog", supercategory="animal"),
    Category(id=90, name="cup", frequency="r"),
)


@st.composite
def sample_lists(draw: st.DrawFn) -> list[Sample]:
    """Up to four samples of various sizes, with objects that each cover a pixel or more."""
    samples = []
    ids = draw(st.lists(st.integers(1, 10**12), unique=True, max_size=4))
    for number, image_id in enumerate(sorted(ids)):
        height, width, count = draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.integers(0, 3))
        masks = draw(hnp.arrays(bool, (count, height, width)))
        masks[:, draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        labels = draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2)))
        not_exhaustive = draw(st.sets(st.integers(0, 2)))
        judged = {*labels.tolist(), *not_exhaustive, *draw(st.sets(st.integers(0, 2)))}
        target = Instances(
            masks=masks,
            labels=labels,
            scores=draw(hnp.arrays(np.float32, count, elements=st.floats(0, 1, width=32))),
            crowd=draw(hnp.arrays(bool, count)),
            judged=draw(st.sampled_from([None, tuple(sorted(judged))])),
            not_exhaustive=tuple(sorted(not_exhaustive)),
        )
        image = draw(hnp.arrays(np.uint8, (height, width, 3), elements=st.integers(0, 255), fill=st.just(7)))
        caption = draw(st.text(st.characters(exclude_categories=("C",)), max_size=8))
        samples.append(
            Sample(name=f"part/{number}.png", image=image, caption=caption, target=target, image_id=image_id)
        )
    return samples


@given(sample_lists())
@settings(deadline=None, max_examples=60)
def test_samples_read_back_equal(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    folder = tmp_path_factory.mktemp("coco")
    save_coco(folder / "x.json", folder / "images", iter(samples), CATEGORIES)
    (folder / "images").mkdir(exist_ok=True)
    split = load_coco(folder / "x.json", folder / "images")
    assert split.categories == CATEGORIES and len(split) == len(samples)
    for sample, read in zip(samples, split, strict=True):
        assert (read.name, read.caption, read.image_id) == (sample.name, sample.caption, sample.image_id)
        for field in ("masks", "labels", "scores", "crowd"):
            expected, found = getattr(sample.target, field), getattr(read.target, field)
            assert expected.dtype == found.dtype and np.array_equal(expected, found)
        assert read.target.judged == sample.target.judged
        assert read.target.not_exhaustive == sample.target.not_exhaustive
        assert np.array_equal(read.image, sample.image)
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(folder / "x.json"))
    for sample in samples:
        annotations = official.loadAnns(official.getAnnIds(imgIds=[sample.image_id]))
        for mask, annotation in zip(sample.target.masks, annotations, strict=True):
            assert np.array_equal(official.annToMask(annotation), mask)
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())
            assert annotation["area"] == mask.sum()


def _sample(name: str, **changes: Any) -> Sample:
    masks = np.zeros((1, 8, 9), dtype=bool)
    masks[0, 2:5, 3:6] = True
    target = Instances.of(masks, np.array([1]))
    fields = {"name": name, "image": np.zeros((8, 9, 3), np.uint8), "caption": "", "target": target, **changes}
    return Sample(**fields)


def test_bytes_are_the_same_and_ids_are_given(tmp_path: Path) -> None:
    samples = [_sample("a.png"), _sample("b.png", image_id=40), _sample("c.png")]
    for folder in ("one", "two"):
        save_coco(tmp_path / folder / "x.json", tmp_path / folder, samples, CATEGORIES)
    assert (tmp_path / "one" / "x.json").read_bytes() == (tmp_path / "two" / "x.json").read_bytes()
    assert (tmp_path / "one" / "a.png").read_bytes() == (tmp_path / "two" / "a.png").read_bytes()
    content = json.loads((tmp_path / "one" / "x.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 40, 41]
    assert [annotation["id"] for annotation in content["annotations"]] == [1, 2, 3]
    assert {annotation["category_id"] for annotation in content["annotations"]} == {18}
    assert all("score" not in annotation for annotation in content["annotations"])


COCO_AS_EVER = """\
{"info": {"description": "Object instances written by DatasetDM", "version": "1.0"},
"licenses": [],
"annotations": [
{"id": 1, "image_id": 1, "category_id": 18, "iscrowd": 0, "area": 4, "bbox": [3.0, 2.0, 2.0, 2.0], \
"segmentation": {"size": [8, 9], "counts": "j0260n0"}}
],
"images": [
{"id": 1, "file_name": "a.png", "width": 9, "height": 8}
],
"categories": [
{"id": 3, "name": "car", "supercategory": ""},
{"id": 18, "name": "dog", "supercategory": "animal"}
]}
"""


def test_lvis_keys_are_written_only_where_there_is_something_to_say(tmp_path: Path) -> None:
    masks = np.zeros((1, 8, 9), dtype=bool)
    masks[0, 2:4, 3:5] = True
    plain = Instances.of(masks, np.array([1]))
    save_coco(tmp_path / "x.json", tmp_path, [_sample("a.png", target=plain)], CATEGORIES[:2])
    assert (tmp_path / "x.json").read_text() == COCO_AS_EVER
    federated = replace(plain, judged=(0, 1, 2), not_exhaustive=(1,))
    save_coco(tmp_path / "x.json", tmp_path, [_sample("a.png", target=federated)], CATEGORIES)
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["images"][0]["neg_category_ids"] == [3, 90]
    assert content["images"][0]["not_exhaustive_category_ids"] == [18]
    assert [category.get("frequency") for category in content["categories"]] == [None, None, "r"]


def test_a_vanished_object_is_not_called_absent(tmp_path: Path) -> None:
    """An annotator saw it; that nothing of it is left to draw does not make a detection there wrong."""
    target = replace(Instances.of(np.zeros((1, 8, 9), bool), np.array([0])), judged=(0, 1))
    save_coco(tmp_path / "x.json", tmp_path, [_sample("a.png", target=target)], CATEGORIES)
    assert load_coco(tmp_path / "x.json", tmp_path)[0].target.judged == (1,)


def test_objects_without_pixels_are_not_written(tmp_path: Path) -> None:
    target = Instances.of(np.stack([np.zeros((8, 9), bool), np.ones((8, 9), bool)]), np.array([0, 2]))
    save_coco(tmp_path / "x.json", tmp_path, [_sample("a.png", target=target)], CATEGORIES)
    assert load_coco(tmp_path / "x.json", tmp_path)[0].target.labels.tolist() == [2]


def test_images_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"as it was")
    save_coco(tmp_path / "x.json", tmp_path, [_sample("a.jpg")], CATEGORIES)
    assert (tmp_path / "a.jpg").read_bytes() == b"as it was"


@pytest.mark.parametrize(
    "samples",
    [
        [_sample("a.png"), _sample("a.png")],
        [_sample("a.png", image_id=3), _sample("b.png", image_id=3)],
        [_sample("a.png"), _sample("../b.png")],
    ],
)
def test_a_failed_write_leaves_no_annotation_file(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(DatasetDMError):
        save_coco(tmp_path / "out" / "x.json", tmp_path / "out", samples, CATEGORIES)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert not (tmp_path / "b.png").exists()


def test_a_label_beyond_the_categories_is_an_error(tmp_path: Path) -> None:
    target = Instances.of(np.ones((1, 8, 9), bool), np.array([-1]))
    with pytest.raises(ValueError, match="label -1"):
        save_coco(tmp_path / "x.json", tmp_path, [_sample("a.png", target=target)], CATEGORIES)
