"""The standard layout of dense annotations: what is written reads back equal, and damage is named."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.standard.maps import MapCodec, load_maps, save_maps
from datasetdm.datasets.standard.semantic_png import SEMANTIC_PNG
from datasetdm.errors import DatasetDMError

CATEGORIES = (Category(id=0, name="background"), Category(id=7, name="dog", supercategory="animal"))
PLAIN_16 = MapCodec(encode=lambda values: values, decode=lambda values: values, bits=16)
SIDES = st.integers(1, 9)


def sample_of(target: Any, name: str = "a.png", caption: str = "", image_id: int = 0) -> Sample:
    shape = (target.labels if isinstance(target, SemanticMap) else target).shape
    image = np.random.default_rng(shape[0]).integers(0, 255, (*shape, 3), dtype=np.uint8)
    return Sample(name=name, image=image, caption=caption, target=target, image_id=image_id)


@given(
    st.lists(
        st.tuples(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES)), st.text(st.characters(exclude_categories=["Cs"]))),
        max_size=3,
    )
)
@settings(max_examples=25, deadline=None)
def test_labels_read_back_equal(parts: list[tuple[np.ndarray, str]]) -> None:
    samples = [
        sample_of(SemanticMap.of(labels), f"sub/{number}.png", caption, image_id=3 * number + 1)
        for number, (labels, caption) in enumerate(parts)
    ]
    with TemporaryDirectory() as folder:
        save_maps(Path(folder), "train", samples, CATEGORIES, SEMANTIC_PNG)
        split = load_maps(Path(folder), "train", SEMANTIC_PNG)
        assert split.categories == CATEGORIES
        assert len(split) == len(samples)
        for before, after in zip(samples, split, strict=True):
            np.testing.assert_array_equal(before.image, after.image)
            np.testing.assert_array_equal(before.target.labels, after.target.labels)
            assert (after.target.confidence == 1).all()
            assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)


@given(hnp.arrays(np.uint16, st.tuples(SIDES, SIDES)))
@settings(max_examples=25, deadline=None)
def test_16_bits_read_back_equal(values: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        save_maps(Path(folder), "val", [sample_of(values)], CATEGORIES, PLAIN_16)
        np.testing.assert_array_equal(load_maps(Path(folder), "val", PLAIN_16)[0].target, values)


def some_labels(seed: int = 0) -> SemanticMap:
    return SemanticMap.of(np.random.default_rng(seed).integers(0, 2, (6, 8)))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    samples = [sample_of(some_labels(number), f"{number}.png") for number in range(2)]
    save_maps(tmp_path, "train", samples, CATEGORIES, SEMANTIC_PNG)
    return tmp_path


def test_equal_samples_give_equal_bytes_and_ids_are_counted(written: Path, tmp_path_factory: Any) -> None:
    again = tmp_path_factory.mktemp("again")
    save_maps(again, "train", load_maps(written, "train", SEMANTIC_PNG), CATEGORIES, SEMANTIC_PNG)
    files = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert len(files) == 5
    assert all((again / file).read_bytes() == (written / file).read_bytes() for file in files)
    assert [sample.image_id for sample in load_maps(written, "train", SEMANTIC_PNG)] == [1, 2]


def test_the_list_stands_for_the_content_of_the_maps(written: Path) -> None:
    (map_file,) = written.glob("maps/train/0.png")
    Image.fromarray(1 - np.asarray(Image.open(map_file))).save(map_file)
    split = load_maps(written, "train", SEMANTIC_PNG)
    with pytest.raises(DatasetDMError, match=r"0\.png is not the map"):
        split[0]
    assert split[1].name == "1.png"
    map_file.unlink()
    with pytest.raises(DatasetDMError, match=r"0\.png is missing"):
        split[0]


def test_sizes_have_to_agree(written: Path) -> None:
    Image.new("RGB", (8, 7)).save(written / "images" / "0.png")
    with pytest.raises(DatasetDMError, match="size"):
        load_maps(written, "train", SEMANTIC_PNG)[0]
    image = np.zeros((3, 3, 3), dtype=np.uint8)
    wrong = Sample(name="b.png", image=image, caption="", target=some_labels())
    with pytest.raises(DatasetDMError, match=r"b\.png"):
        save_maps(written, "val", [wrong], CATEGORIES, SEMANTIC_PNG)
    assert not (written / "annotations" / "val.json").exists()


def test_another_depth_than_the_codecs_is_refused(written: Path) -> None:
    with pytest.raises(DatasetDMError, match="16-bit"):
        load_maps(written, "train", PLAIN_16)[0]


@pytest.mark.parametrize(("first", "second"), [("a.png", "a.png"), ("a.jpg", "a.png")])
def test_images_that_would_share_a_map_are_refused(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / first)
    samples = [sample_of(some_labels(), first), sample_of(some_labels(1), second)]
    with pytest.raises(DatasetDMError, match=second):
        save_maps(tmp_path, "train", samples, CATEGORIES, SEMANTIC_PNG)


def test_ids_used_twice_are_refused(tmp_path: Path) -> None:
    samples = [sample_of(some_labels(), name, image_id=4) for name in ("a.png", "b.png")]
    with pytest.raises(DatasetDMError, match="id 4"):
        save_maps(tmp_path, "train", samples, CATEGORIES, SEMANTIC_PNG)


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "", "a\\b.png"])
def test_names_stay_inside(written: Path, name: str) -> None:
    with pytest.raises(DatasetDMError):
        save_maps(written, "val", [sample_of(some_labels(), name)], CATEGORIES, SEMANTIC_PNG)
    for key in ("file_name", "map"):
        alter(written, lambda content, key=key: content["images"][0].update({key: name}))
        with pytest.raises(DatasetDMError):
            load_maps(written, "train", SEMANTIC_PNG)[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("images"),
        lambda content: content.pop("categories"),
        lambda content: content["images"][0].pop("sha256"),
        lambda content: content["images"][0].update(id=2),
        lambda content: content["images"][0].update(id=[]),
        lambda content: content["images"][0].update(file_name="1.png"),
        lambda content: content["images"][0].update(file_name=1),
        lambda content: content["images"][0].update(map=None),
        lambda content: content["images"][0].update(caption=["x"]),
        lambda content: content["images"].append(7),
        lambda content: content["categories"][0].update(colour="red"),
    ],
)
def test_broken_lists_are_refused(written: Path, change: Any) -> None:
    alter(written, change)
    with pytest.raises(DatasetDMError, match=r"train\.json"):
        load_maps(written, "train", SEMANTIC_PNG)


def test_missing_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"val\.json is missing"):
        load_maps(tmp_path, "val", SEMANTIC_PNG)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_damaged_files_never_give_other_labels(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        target = some_labels()
        save_maps(Path(folder), "train", [sample_of(target)], CATEGORIES, SEMANTIC_PNG)
        file = data.draw(st.sampled_from([Path(folder, "maps/train/a.png"), Path(folder, "annotations/train.json")]))
        content = bytearray(file.read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content = content[:position]
        else:
            content[position] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        try:
            (sample,) = load_maps(Path(folder), "train", SEMANTIC_PNG)
        except DatasetDMError:
            return
        np.testing.assert_array_equal(sample.target.labels, target.labels)


def alter(root: Path, change: Any) -> None:
    file = root / "annotations" / "train.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
