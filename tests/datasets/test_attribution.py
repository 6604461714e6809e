"""Licences and origins stay with the images that they are of."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasetdm.annotations.sample import Attribution, join_attributions
from datasetdm.datasets.standard.attribution import AttributionReader, AttributionWriter
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.datasets.standard.coco_writing import save_coco
from datasetdm.datasets.standard.unlabelled import load_unlabelled
from datasetdm.transforms.splice import splice

INFO = {"description": "COCO 2017 Dataset", "url": "http://cocodataset.org", "year": 2017}
LICENSES = [
    {"id": 1, "name": "Attribution-NonCommercial-ShareAlike License", "url": "http://cc/by-nc-sa/2.0/"},
    {"id": 4, "name": "Attribution License", "url": "http://cc/by/2.0/"},
]


@pytest.fixture
def licensed(content: Any) -> Any:
    """The small COCO file, two of whose three images have a licence."""
    content["info"], content["licenses"] = INFO, LICENSES
    content["images"][1] |= {"license": 4, "coco_url": "http://coco/7", "flickr_url": "http://flickr/7"}
    content["images"][2] |= {"license": 1, "coco_url": "http://coco/9", "date_captured": "2013-11-14 17:02:52"}
    content["images"][0] |= {"license": 99, "coco_url": "", "flickr_url": "", "date_captured": 0}  # as exports fill in
    return content


def test_an_image_keeps_its_licence_through_any_number_of_sets(licensed: Any, build: Callable, tmp_path: Path) -> None:
    split = load_coco(*build(licensed))
    assert [len(sample.attribution) for sample in split] == [1, 1, 0]
    first = split[0].attribution[0]
    assert (first.license, first.info) == (LICENSES[1], INFO)
    assert first.fields == {"coco_url": "http://coco/7", "flickr_url": "http://flickr/7"}
    for number in range(3):
        save_coco(tmp_path / f"{number}.json", split.images_dir, split, split.categories)
        written = json.loads((tmp_path / f"{number}.json").read_text())
        assert written["licenses"] == LICENSES and written["info"]["sources"] == [INFO]
        assert written["images"][0] | licensed["images"][1] == written["images"][0]
        assert written["images"][1] | licensed["images"][2] == written["images"][1]
        assert not {"license", "coco_url", "sources"} & written["images"][2].keys()
        split = load_coco(tmp_path / f"{number}.json", split.images_dir)


def test_a_splice_names_all_its_images(licensed: Any, build: Callable, tmp_path: Path) -> None:
    split = load_coco(*build(licensed))
    made = splice([split[0], split[1], split[2], split[0]], (2, 2), max_size=100)
    save_coco(tmp_path / "x.json", tmp_path, [made], split.categories)
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["images"][0]["sources"] == [
        {"file_name": "sub/a.png", "license": 4, "coco_url": "http://coco/7", "flickr_url": "http://flickr/7"},
        {"file_name": "b.png", "license": 1, "coco_url": "http://coco/9", "date_captured": "2013-11-14 17:02:52"},
    ]
    assert written["licenses"] == LICENSES
    assert load_coco(tmp_path / "x.json", tmp_path)[0].attribution == made.attribution


def test_images_without_their_labels_keep_it_too(licensed: Any, build: Callable, tmp_path: Path) -> None:
    file, images = build(licensed)
    (tmp_path / "annotations").mkdir()
    file.rename(tmp_path / "annotations" / "oracle.json")
    found = {image.name: image.attribution for image in load_unlabelled(tmp_path, "oracle")}
    expected = {sample.name: sample.attribution for sample in load_coco(tmp_path / "annotations/oracle.json", images)}
    assert found == expected and found["b.png"][0].license == LICENSES[0]


def test_sources_and_licences_of_two_data_sets_stay_apart() -> None:
    one = Attribution(file_name="a.jpg", license={"id": 1, "name": "CC BY"}, info={"description": "one"})
    two = Attribution(file_name="b.jpg", license={"id": 1, "name": "own"}, info={"description": "two"})
    writer = AttributionWriter()
    records = [writer.record([one]), writer.record([two]), writer.record([one, two]), writer.record([])]
    assert records[:2] == [{"license": 1}, {"license": 2, "source_info": 1}] and records[3] == {}
    assert writer.licenses == [{"id": 1, "name": "CC BY"}, {"id": 2, "name": "own"}]
    content = {"info": {"description": "x", **writer.info}, "licenses": writer.licenses}
    read = AttributionReader(json.loads(json.dumps(content)))
    assert read.of({"file_name": "a.jpg", **records[0]}) == (one,)
    both = read.of({"file_name": "c.png", **records[2]})
    assert both == (one, replace(two, license={"id": 2, "name": "own"}))
    assert join_attributions([both, (one,), ()]) == both


@pytest.mark.parametrize(
    "content",
    [
        {"info": [], "licenses": {}},
        {"info": {"sources": [5, None]}, "licenses": [3, {"id": []}, {"name": "x"}]},
        {"info": None, "licenses": None},
    ],
)
@pytest.mark.parametrize(
    "record", [{}, {"license": []}, {"license": 3, "sources": 5}, {"sources": [4]}, {"coco_url": float("inf")}]
)
def test_what_is_of_another_shape_is_passed_over(content: Any, record: Any) -> None:
    assert AttributionReader(content).of(record) == ()
