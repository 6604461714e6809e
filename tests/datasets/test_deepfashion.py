import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from datasetdm.datasets.native.deepfashion import open_deepfashion
from datasetdm.errors import DatasetDMError

SHAPE = (5, 4)


def stem_of(outfit: int, view: int) -> str:
    return f"WOMEN-Tees_Tanks-id_{outfit:08d}-0{view}_{view}_front"


def write_deepfashion(root: Path, maps: dict[str, np.ndarray], end: str = "_segm") -> Path:
    for folder in ("images", "segm"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem, values in maps.items():
        Image.new("RGB", values.shape[::-1]).save(root / "images" / f"{stem}.jpg")
        Image.fromarray(values).save(root / "segm" / f"{stem}{end}.png")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Thirty outfits of two pictures each, and a picture that was not annotated."""
    maps = {stem_of(outfit, view): np.full(SHAPE, view, dtype=np.uint8) for outfit in range(30) for view in (1, 2)}
    write_deepfashion(tmp_path, maps)
    Image.new("RGB", SHAPE[::-1]).save(tmp_path / "images" / "WOMEN-Skirts-id_00000099-01_7_additional.jpg")
    return tmp_path


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 23)))
@settings(max_examples=25, deadline=None)
def test_indices_are_labels(values: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        (sample,) = open_deepfashion(write_deepfashion(Path(folder), {"a": values}, end=""), "val")
        np.testing.assert_array_equal(sample.target.labels, values)


def test_categories(root: Path) -> None:
    split = open_deepfashion(root, "train")
    names = [category.name for category in split.categories]
    assert len(names) == 24
    assert [names[label] for label in (0, 1, 8, 14, 17, 23)] == [
        *("background", "top", "eyeglass", "face", "wrist wearing", "tie"),
    ]
    assert split.labels_of(0) == (1,)


def test_a_tenth_of_the_outfits_is_held_out_whole(root: Path) -> None:
    names = {split: [sample.name for sample in open_deepfashion(root, split)] for split in ("train", "val")}
    assert {split: len(listed) for split, listed in names.items()} == {"train": 54, "val": 6}
    outfits = {split: {name[: len("WOMEN-Tees_Tanks-id_00000000")] for name in names[split]} for split in names}
    assert len(outfits["val"]) == 3
    assert not outfits["train"] & outfits["val"]
    assert sorted(outfits["val"]) == [f"WOMEN-Tees_Tanks-id_{outfit:08d}" for outfit in (17, 24, 29)]


def test_lists_where_they_are(root: Path) -> None:
    first, second = stem_of(3, 1), stem_of(4, 1)
    (root / "train.txt").write_text(f"{first}.jpg\n{second}\n")
    with pytest.raises(DatasetDMError, match=r"train\.txt is there"):
        open_deepfashion(root, "train")
    (root / "val.txt").write_text(f"{stem_of(5, 2)}.jpg\n")
    assert [sample.name for sample in open_deepfashion(root, "train")] == [f"{first}.jpg", f"{second}.jpg"]
    assert [sample.name for sample in open_deepfashion(root, "val")] == [f"{stem_of(5, 2)}.jpg"]
    for line in ("", "../a.jpg", "/etc/a.jpg", f"{first}\n{first}", "unknown.jpg"):
        (root / "val.txt").write_text(line)
        with pytest.raises(DatasetDMError, match=r"val\.txt"):
            open_deepfashion(root, "val")


@pytest.mark.parametrize("captions", ["a woman in a tank top", ["a woman in a tank top"]])
def test_captions_as_a_text_or_a_list(root: Path, captions: object) -> None:
    split = open_deepfashion(root, "train")
    (root / "captions.json").write_text(json.dumps({split.name_of(0): captions}))
    assert open_deepfashion(root, "train").captions_of(0) == ("a woman in a tank top",)
    assert open_deepfashion(root, "train")[1].caption == ""


def test_what_is_missing_is_named_with_its_source(root: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"images is missing.*DeepFashion-MultiModal"):
        open_deepfashion(root / "segm", "train")
    (root / "images" / open_deepfashion(root, "train").name_of(0)).unlink()
    with pytest.raises(DatasetDMError, match="54 images, but 1 files"):
        open_deepfashion(root, "train")
    for path in (root / "segm").iterdir():
        path.unlink()
    with pytest.raises(DatasetDMError, match="lists no images"):
        open_deepfashion(root, "train")


@pytest.mark.parametrize(
    "values", [np.full(SHAPE, 24, np.uint8), np.full(SHAPE, 255, np.uint8), np.zeros((5, 4, 3), np.uint8)]
)
def test_annotations_of_another_kind_are_refused(root: Path, values: np.ndarray) -> None:
    split = open_deepfashion(root, "train")
    Image.fromarray(values).save(split.entries[0].annotation)
    with pytest.raises(DatasetDMError, match=split.entries[0].annotation.name):
        split[0]
