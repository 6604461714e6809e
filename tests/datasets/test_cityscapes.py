import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.cityscapes import CITYSCAPES_CATEGORIES, open_cityscapes
from datasetdm.errors import DatasetDMError

# The official train ids of the label ids 0-33 (cityscapesscripts/helpers/labels.py), written down anew.
TRAIN_IDS = [
    *[255] * 7,
    *[0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18],
]
FRAMES = ("aachen/aachen_000000_000019", "bremen/bremen_000001_000019")


def write_frame(root: Path, frame: str, ids: np.ndarray, split: str = "train") -> None:
    image = root / "leftImg8bit" / split / f"{frame}_leftImg8bit.png"
    annotation = root / "gtFine" / split / f"{frame}_gtFine_labelIds.png"
    for path, picture in ((image, Image.new("RGB", ids.shape[::-1])), (annotation, Image.fromarray(ids))):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    annotation.with_name(annotation.name.replace("labelIds", "instanceIds")).write_bytes(b"not read")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, frame in enumerate(FRAMES):
        write_frame(tmp_path, frame, np.array([[7, 26, 0], [23, 33, 24 + number]], dtype=np.uint8))
    return tmp_path


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([*range(34), 255]))
)
@settings(max_examples=25, deadline=None)
def test_label_ids_become_train_ids(ids: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        write_frame(Path(folder), FRAMES[0], ids)
        write_frame(Path(folder), FRAMES[1], np.array([[7, 26]], dtype=np.uint8))
        sample, _ = open_cityscapes(Path(folder), "train")
        expected = np.array([*TRAIN_IDS, *[255] * 222])[ids]
        np.testing.assert_array_equal(sample.target.labels, expected)


def test_categories_in_the_order_of_the_train_ids(root: Path) -> None:
    split = open_cityscapes(root, "train")
    assert split.categories == CITYSCAPES_CATEGORIES
    assert [TRAIN_IDS[category.id] for category in split.categories] == list(range(19))
    assert (split.categories[0].name, split.categories[18].name) == ("road", "bicycle")
    assert split.labels_of(0) == (0, 10, 11, 13, 18)


def test_names_are_unique_and_plain_and_captions_found(root: Path) -> None:
    name = "aachen_000000_000019_leftImg8bit.png"
    (root / "captions.json").write_text(json.dumps({name: ["a street"]}))
    split = open_cityscapes(root, "train")
    assert [split.name_of(index) for index in range(2)] == [name, "bremen_000001_000019_leftImg8bit.png"]
    assert [split.captions_of(index) for index in range(2)] == [("a street",), ()]
    assert IGNORE in split[0].target.labels


def test_what_is_missing_is_named_with_its_source(root: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"val is missing.*gtFine_trainvaltest\.zip"):
        open_cityscapes(root, "val")
    (root / "gtFine" / "train" / f"{FRAMES[0]}_gtFine_labelIds.png").unlink()
    (root / "leftImg8bit" / "train" / f"{FRAMES[1]}_leftImg8bit.png").unlink()
    with pytest.raises(DatasetDMError, match=r"2 images, but 2 files.*labelIds\.png.*bremen"):
        open_cityscapes(root, "train")
    for path in root.glob("*/train/*/*.png"):
        path.unlink()
    with pytest.raises(DatasetDMError, match="lists no images"):
        open_cityscapes(root, "train")


def test_one_name_in_two_cities_is_refused(root: Path) -> None:
    write_frame(root, "bremen/aachen_000000_000019", np.full((2, 3), 7, dtype=np.uint8))
    with pytest.raises(DatasetDMError, match="twice"):
        open_cityscapes(root, "train")


@pytest.mark.parametrize(
    "annotation",
    [
        np.full((2, 3), 34, dtype=np.uint8),
        np.full((2, 3), 26_001, dtype=np.uint16),  # instance ids
        np.zeros((2, 3, 4), dtype=np.uint8),  # the colours
        np.full((3, 2), 7, dtype=np.uint8),
    ],
)
def test_annotations_of_another_kind_are_refused(root: Path, annotation: np.ndarray) -> None:
    Image.fromarray(annotation).save(root / "gtFine" / "train" / f"{FRAMES[0]}_gtFine_labelIds.png")
    with pytest.raises(DatasetDMError, match=r"aachen_000000_000019_gtFine_labelIds\.png"):
        open_cityscapes(root, "train")[0]


def test_train_ids_under_the_name_of_label_ids_are_refused(root: Path) -> None:
    for frame, ids in zip(FRAMES, ([[0, 13, 10], [8, 5, 255]], [[0, 1, 2], [2, 8, 14]]), strict=True):
        write_frame(root, frame, np.array(ids, dtype=np.uint8))
    with pytest.raises(DatasetDMError, match=r"0, 1, 2, 5, 8, 10, 13, 14, 255\. These are train ids.*not label ids"):
        open_cityscapes(root, "train")


@pytest.mark.parametrize(
    "ids",
    [
        [[0, 13, 10], [8, 5, 255]],  # beside a frame of label ids it is no habit
        [[0, 7, 11], [7, 7, 3]],  # an empty street
    ],
)
def test_one_odd_frame_does_not_stop_the_data_set(root: Path, ids: list[list[int]]) -> None:
    write_frame(root, FRAMES[0], np.array(ids, dtype=np.uint8))
    assert len(open_cityscapes(root, "train")) == 2


def test_hidden_files_of_macos_are_no_frames(root: Path) -> None:
    for path in [*root.glob("*/train/*/*.png")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    assert len(open_cityscapes(root, "train")) == 2
