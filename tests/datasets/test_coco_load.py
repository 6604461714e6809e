"""Loading COCO files: what comes out, and what is told about bad ones."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasetdm.annotations.sample import Category
from datasetdm.datasets.native.coco import open_native_coco
from datasetdm.datasets.split import Tally
from datasetdm.datasets.standard.coco import check_coco, load_coco
from datasetdm.datasets.standard.masks import EncodedMasks, encode_mask
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_image


def test_samples(content: Any, build: Callable) -> None:
    split = load_coco(*build(content))
    assert split.categories == (
        Category(id=3, name="car"),
        Category(id=90, name="toothbrush", supercategory="indoor"),
    )
    assert split.image_ids == (7, 9, 40)
    assert split.names == ("sub/a.png", "b.png", "empty.png")
    assert [split.labels_of(index) for index in range(3)] == [(0, 1), (), ()]
    first, crowd, empty = split
    assert first.caption == "two things" and first.image_id == 7 and crowd.caption == ""
    assert first.image.shape == (12, 16, 3) and (first.image == 40).all()
    assert first.target.labels.tolist() == [0, 1]
    assert first.target.scores.tolist() == [1.0, 0.5]
    assert first.target.masks[0].sum() == 35 and first.target.masks[0][1:6, 1:8].all()
    assert crowd.target.crowd.tolist() == [True]
    assert crowd.target.masks[0][:, 1:3].all() and crowd.target.masks[0].sum() == 24
    assert len(empty.target) == 0 and empty.target.masks.shape == (0, 12, 16)
    assert [sample.name for sample in split[1:]] == ["b.png", "empty.png"]
    assert split[-1].name == "empty.png"
    with pytest.raises(IndexError):
        split[3]


def test_captions_file_goes_first(content: Any, build: Callable, tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    records = [(4, 7, "later"), (2, 7, " first\nof two "), (3, 9, "a car"), (1, 12345, "of another image")]
    captions.write_text(
        json.dumps({"annotations": [{"id": a, "image_id": b, "caption": text} for a, b, text in records]})
    )
    split = load_coco(*build(content), captions)
    assert split.captions_of(0) == ("first of two", "later")
    assert split[0].caption == "first of two"
    assert split.captions_of(1) == ("a car",)
    assert split.captions_of(2) == ()


def test_annotations_without_area_are_left_out_and_told(content: Any, build: Callable) -> None:
    content["annotations"] += [
        {"id": 20, "image_id": 40, "category_id": 3, "segmentation": []},
        {"id": 21, "image_id": 40, "category_id": 3, "segmentation": [[1, 1, 5, 5]]},
        {"id": 22, "image_id": 40, "category_id": 3, "segmentation": [[4.1, 4.1, 4.2, 4.1, 4.2, 4.2]]},
        {"id": 23, "image_id": 40, "category_id": 3, "segmentation": [[-4, 2, 6, 2, 6, 8, -4, 8]]},
        {"id": 24, "image_id": 40, "category_id": 3, "segmentation": [], "bbox": [3, 3, 0, 2]},
    ]
    split = load_coco(*build(content))
    assert split.report.annotations == 5 and split.report.clipped == 1
    assert [item.annotation_id for item in split.report.rejected] == [20, 21, 24]
    assert [(item.annotation_id, item.reason) for item in split.rejections_of(2)] == [
        (20, "without a polygon of three points"),
        (21, "without a polygon of three points"),
        (24, "without a polygon of three points"),
        (22, "without a pixel"),
    ]
    assert split.tally_of(2) == Tally(objects=2, rejected={"without a polygon of three points": 3})
    assert len(split[2].target) == 1 and split.rejections_of(0) == ()


@pytest.mark.parametrize("nothing", [[], None, [[]], {}, "absent"])
def test_a_box_without_a_mask_is_a_region_to_pass_over(content: Any, build: Callable, nothing: Any) -> None:
    record = {"id": 20, "image_id": 40, "category_id": 3, "segmentation": nothing, "bbox": [1.6, 2.4, 3, 4.0]}
    if nothing == "absent":
        del record["segmentation"]
    content["annotations"].append(record)
    split = load_coco(*build(content))
    target = split[2].target
    assert target.crowd.tolist() == [True] and target.masks[0].sum() == 3 * 4 and target.masks[0][2:6, 2:5].all()
    assert split.labels_of(2) == () and split.rejections_of(2) == ()
    assert split.tally_of(2) == Tally(boxes_only=1)
    record["bbox"] = [30, 2, 4, 4]
    split = load_coco(*build(content))
    assert len(split[2].target) == 0 and [item.reason for item in split.rejections_of(2)] == ["without a pixel"]


def test_crowds_may_be_objects(content: Any, build: Callable) -> None:
    split = load_coco(*build(content))
    assert split.tally_of(1) == Tally(crowds=1)
    split.crowds = "as_objects"
    assert split.labels_of(1) == (1,) and split[1].target.crowd.tolist() == [False]
    assert split.tally_of(1) == Tally(objects=1)


def test_masks_may_stay_encoded(content: Any, build: Callable) -> None:
    split = load_coco(*build(content))
    for index, whole in enumerate(split):
        compact = split.compact(index)
        assert isinstance(compact.target.masks, EncodedMasks)
        assert np.array_equal(np.asarray(compact.target.masks), whole.target.masks)
        assert compact.target.masks.areas.tolist() == [mask.sum() for mask in whole.target.masks]
        assert np.array_equal(compact.target.labels, whole.target.labels)
        assert np.array_equal(compact.image, whole.image)


def test_names_have_single_blanks(content: Any, build: Callable) -> None:
    content["categories"][0]["name"] = " traffic  light "  # a table of prompts could not tell them from one
    split = load_coco(*build(content))
    assert "traffic light" in [category.name for category in split.categories]


def test_lvis_keys(content: Any, build: Callable) -> None:
    content["categories"].append({"id": 5, "name": "kite", "frequency": "f"})
    content["categories"][1]["frequency"] = 17  # somebody's count, and none of LVIS's three letters
    content["images"][1] |= {"neg_category_ids": [5], "not_exhaustive_category_ids": [90]}
    content["images"][2]["not_exhaustive_category_ids"] = [5]
    split = load_coco(*build(content))
    assert [category.frequency for category in split.categories] == ["", "f", ""]
    assert (split[0].target.judged, split[0].target.not_exhaustive) == ((0, 1, 2), (2,))
    assert (split[1].target.judged, split[1].target.not_exhaustive) == (None, (1,))
    assert (split[2].target.judged, split[2].target.not_exhaustive) == (None, ())


def test_names_in_one_folder(content: Any, build: Callable) -> None:
    split = load_coco(*build(content))
    assert split.name_of(0) == "images_sub_a.png"


def _set(*path: Any) -> Callable[[Any], None]:
    """An edit that puts the last argument at the place that the others lead to."""
    *keys, last, value = path

    def edit(content: Any) -> None:
        for key in keys:
            content = content[key]
        content[last] = value

    return edit


def _drop(*path: Any) -> Callable[[Any], None]:
    *keys, last = path

    def edit(content: Any) -> None:
        for key in keys:
            content = content[key]
        del content[last]

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_drop("images"), "has no 'images'"),
        (_drop("annotations"), "has no 'annotations'"),
        (_drop("categories"), "has no 'categories'"),
        (_set("images", {}), "not a list"),
        (_set("images", 0, 5), "is not a record"),
        (_drop("images", 0, "height"), "image 40 has no 'height'"),
        (_set("images", 0, "width", 0), "width 0"),
        (_set("images", 0, "width", 10**9), "width 1000000000"),
        (_set("images", 0, "id", "40"), "not a whole number"),
        (_set("images", 0, "id", True), "not a whole number"),
        (_set("images", 0, "id", -1), "negative"),
        (_set("images", 0, "id", 7), "image id 7 is used twice"),
        (_set("images", 0, "file_name", "b.png"), "file name 'b.png' is used twice"),
        (_set("images", 0, "file_name", "../../x.png"), "plain relative path"),
        (_set("images", 0, "file_name", "/etc/passwd"), "plain relative path"),
        (_set("images", 0, "caption", 3), "no text"),
        (_set("images", 0, "neg_category_ids", None), "neg_category_ids.*not a list"),
        (_set("images", 0, "neg_category_ids", [3, 4]), "image 40 has 4 in 'neg_category_ids'"),
        (_set("images", 0, "not_exhaustive_category_ids", ["3"]), "'3' in 'not_exhaustive_category_ids'"),
        (_set("annotations", 0, "image_id", 1234), "annotation 5 points to the image 1234"),
        (_set("annotations", 0, "category_id", 2), "category 2, which the file does not list"),
        (_set("annotations", 0, "id", 3), "annotation id 3 is used twice"),
        (_set("annotations", 0, "iscrowd", 2), "iscrowd 2"),
        (_set("annotations", 0, "score", 1.5), "score 1.5"),
        (_drop("annotations", 1, "segmentation"), "annotation 3 has neither a 'segmentation' nor a 'bbox'"),
        (_set("annotations", 1, "segmentation", [[50, 50, 60, 50, 60, 60]]), "does not lie in its image"),
        (_set("annotations", 1, "segmentation", [[17, 5, 20, 5, 20, 9]]), "does not lie in its image"),
        (_set("annotations", 0, "segmentation", "size", [16, 12]), "RLE is for size"),
        (_set("categories", 0, "id", 3), "category id 3 is used twice"),
        (_set("categories", 0, "name", "car"), "category name 'car' is used twice"),
        (_set("categories", 0, "name", " "), "needs plain letters"),
        (_set("categories", []), "no categories"),
    ],
)
def test_inconsistent_files_are_told(content: Any, build: Callable, edit: Callable, says: str) -> None:
    edit(content)
    file, images = build(content)
    with pytest.raises(DatasetDMError, match=says) as error:
        load_coco(file, images)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_missing_and_broken_files_are_told(content: Any, build: Callable, tmp_path: Path) -> None:
    file, images = build(content)
    with pytest.raises(DatasetDMError, match=r"none\.json is missing"):
        load_coco(tmp_path / "none.json", images)
    with pytest.raises(DatasetDMError, match=r"folder .*none is missing"):
        load_coco(file, tmp_path / "none")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DatasetDMError, match="is not valid JSON"):
        load_coco(file, images)
    file.write_text("[]")
    with pytest.raises(DatasetDMError, match="no COCO annotation file"):
        load_coco(file, images)


def test_images_are_told_when_they_are_read(content: Any, build: Callable) -> None:
    file, images = build(content)
    split = load_coco(file, images)
    (images / "b.png").unlink()
    with pytest.raises(DatasetDMError, match=r"b\.png is missing"):
        split[1]
    whole = (images / "empty.png").read_bytes()
    (images / "empty.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetDMError, match=r"empty\.png cannot be read"):
        split[2]
    content["images"][1]["width"] = 17
    content["annotations"] = []
    with pytest.raises(DatasetDMError, match=r"is 16 x 12 pixels, but .* says 17 x 12: put the original image"):
        load_coco(*build(content))[0]
    content["images"][1] |= {"width": 12, "height": 16}
    with pytest.raises(DatasetDMError, match=r"is 16 x 12 pixels, but .* says 12 x 16: .*EXIF orientation.*exiftool"):
        load_coco(*build(content))[0]


def test_sides_beyond_opencvs_warps_are_refused(tmp_path: Path) -> None:
    Image.new("L", (2**15, 2)).save(tmp_path / "panorama.png")
    with pytest.raises(DatasetDMError, match=r"panorama\.png is too large"):
        read_image(tmp_path / "panorama.png")


def test_links_are_followed_and_names_stay_inside(content: Any, build: Callable, tmp_path: Path) -> None:
    """A link is the wish of whoever owns the folder; a name comes from a file that somebody else wrote."""
    file, images = build(content)
    (images / "b.png").rename(tmp_path / "elsewhere.png")
    (images / "b.png").symlink_to(tmp_path / "elsewhere.png")
    file.rename(tmp_path / "labels.json")
    file.symlink_to("labels.json")
    split = load_coco(file, images)
    split.check_complete("")
    assert (split[1].image == 80).all()
    (tmp_path / "elsewhere.png").unlink()
    with pytest.raises(DatasetDMError, match=r"1 of the 3 images .*\(b\.png\)\. 1 of them are links to files that are"):
        split.check_complete("")
    content["images"][2]["file_name"] = "../elsewhere.png"
    with pytest.raises(DatasetDMError, match="plain relative path"):
        load_coco(*build(content))


@pytest.mark.parametrize(
    ("listed", "on_disk"),
    [
        ("Bildschirmfoto\u202f9.41.png", "Bildschirmfoto\u202f9.41.png"),  # macOS's narrow blank
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("sub/cafe\u0301 2.png", "sub/caf\u00e9 2.png"),
        ("\u732b \U0001f468\u200d\U0001f469.png", "\u732b \U0001f468\u200d\U0001f469.png"),
    ],
)
def test_names_with_other_letters_are_found(content: Any, build: Callable, listed: str, on_disk: str) -> None:
    content["images"][2]["file_name"] = listed
    file, images = build(content)
    (images / "b.png").rename(images / on_disk)
    split = load_coco(file, images)
    split.check_complete("")
    assert (split[1].image == 80).all() and split[1].name == listed


def test_missing_images_are_told_with_what_is_there_instead(content: Any, build: Callable) -> None:
    for record, name in zip(content["images"], ("empty.jpg", "other/a.png", "c.png"), strict=True):
        record["file_name"] = name
    split = load_coco(*build(content))
    with pytest.raises(DatasetDMError) as error:
        split.check_complete("Get the data set.")
    for says in (
        "lacks 3 of the 3 images",
        "1 of them are there with another ending or case (empty.png for empty.jpg)",
        "1 of them seem to lie in another folder (sub/a.png for other/a.png)",
    ):
        assert says in str(error.value)
    assert "Get the data set" not in str(error.value)
    for number, record in enumerate(content["images"]):
        record["file_name"] = f"{number:012d}.jpg"
    split = load_coco(*build(content))
    with pytest.raises(DatasetDMError, match=r"The download is incomplete: Get the data set\."):
        split.check_complete("Get the data set.")


def test_damaged_rle_is_told_when_it_is_drawn(content: Any, build: Callable) -> None:
    content["annotations"][0]["segmentation"]["counts"] = "oooo"
    split = load_coco(*build(content))
    with pytest.raises(DatasetDMError, match=r"annotation 5 of b\.png"):
        split.target_of(1)


ODD: dict[str, Callable[[dict[str, Any]], Any]] = {  # what JSON may hold in place of a usual value, and is the same
    "a truth value for a crowd": lambda record: record.update(iscrowd=False),
    "a truth value for a coordinate": lambda record: record["segmentation"][0].__setitem__(0, True),
    "a bbox that is no number, and not used": lambda record: record.update(bbox=[float("nan")] * 4),
}


@pytest.mark.parametrize("odd", list(ODD))
def test_an_odd_value_changes_nothing(content: Any, build: Callable, odd: str) -> None:
    plain = load_coco(*build(content))
    ODD[odd](content["annotations"][1])
    split = load_coco(*build(content))
    assert split.report == plain.report
    for index in range(3):
        assert split.tally_of(index) == plain.tally_of(index)
        expected, found = plain.target_of(index), split.target_of(index)
        for name in ("masks", "labels", "scores", "crowd"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_coordinate_in_quotes_is_no_number(content: Any, build: Callable) -> None:
    content["annotations"][1]["segmentation"][0][0] = "1"
    with pytest.raises(DatasetDMError, match=r"annotation 3 of sub/a\.png: a polygon has a coordinate"):
        load_coco(*build(content))


def test_of_many_records_the_first_bad_one_is_named(content: Any, build: Callable) -> None:
    usual = content["annotations"][1]
    content["annotations"] = [{**usual, "id": number} for number in range(1, 10_001)]
    assert load_coco(*build(content)).report.annotations == 10_000
    content["annotations"][8000]["category_id"] = 4
    content["annotations"][8001]["iscrowd"] = "no"
    with pytest.raises(DatasetDMError, match="annotation 8001 has the category 4"):
        load_coco(*build(content))
    content["annotations"][7999]["id"] = 1.0
    with pytest.raises(DatasetDMError, match=r"annotation 1\.0 has the 'id' 1\.0, which is not a whole number"):
        load_coco(*build(content))


def test_a_check_counts_the_objects_of_all_notations(content: Any, build: Callable) -> None:
    runs = {"size": [12, 16], "counts": encode_mask(np.eye(12, 16, dtype=bool))["counts"]}
    nothing = {"size": [12, 16], "counts": encode_mask(np.zeros((12, 16), dtype=bool))["counts"]}
    content["annotations"] += [
        {"id": 20, "image_id": 40, "category_id": 3, "segmentation": runs},
        {"id": 21, "image_id": 40, "category_id": 3, "segmentation": nothing},
        {"id": 22, "image_id": 40, "category_id": 3, "segmentation": runs, "iscrowd": 1},
        {"id": 23, "image_id": 7, "category_id": 3, "bbox": [1, 1, 4, 4]},
    ]
    split = load_coco(*build(content))
    assert check_coco(split) == {"images": 3, "objects": 3}
    assert sum(int((~split.target_of(index).crowd).sum()) for index in range(3)) == 3
    runs["counts"] = runs["counts"][:-1]
    with pytest.raises(DatasetDMError, match=r"annotation 20 of empty\.png: the RLE"):
        check_coco(load_coco(*build(content)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*path, key), *_places(inner, (*path, key)))]


@given(data=st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_edit_of_a_file_ends_in_another_error(content: Any, build: Callable, data: st.DataObject) -> None:
    edited = copy.deepcopy(content)
    place = data.draw(st.sampled_from(_places(edited)))
    _set(*place, data.draw(JSON))(edited)
    file, images = build(edited)
    try:
        samples = list(load_coco(file, images))
    except DatasetDMError as error:
        message = str(error)
    else:
        assert all(sample.target.masks.shape[1:] == sample.image.shape[:2] for sample in samples)
        return
    assert str(file) in message or str(images) in message


def test_native_layout(content: Any, build: Callable, tmp_path: Path) -> None:
    file, images = build(content)
    root = tmp_path / "coco"
    with pytest.raises(DatasetDMError, match=r"coco is missing.*source\.root"):
        open_native_coco(root, "val")
    (root / "annotations").mkdir(parents=True)
    images.rename(root / "val2017")
    with pytest.raises(DatasetDMError, match=r"instances_val2017\.json is missing"):
        open_native_coco(root, "val")
    file.rename(root / "annotations" / "instances_val2017.json")
    assert len(open_native_coco(root, "val")) == 3
    with pytest.raises(DatasetDMError, match=r"train2017 is missing.*train2017\.zip"):
        open_native_coco(root, "train")
    (root / "val2017" / "b.png").unlink()
    with pytest.raises(DatasetDMError, match=r"lacks 1 of the 3 images .*\(b\.png\)"):
        open_native_coco(root, "val")
