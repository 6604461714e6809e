"""Selection, the standard layout, and leaks."""

import filecmp
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasetdm import config
from datasetdm.datasets.native.coco import open_native_coco
from datasetdm.datasets.selection import select, select_long_tail
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.ingestion.ingest import ingest
from datasetdm.pipeline.ingestion.leaks import check_no_leak
from datasetdm.pipeline.ingestion.rendering import render_miniworld

REAL = Path(__file__).parents[3] / "shared" / "realdata" / "COCO2017"


def _ingest(root: Path, out: Path, seeds: tuple[int, ...] = (0,), **counts: Any) -> dict[str, int | float]:
    settings = config.Ingest.model_validate({"num_real": 8, "num_dev": 6, "num_oracle": 10, **counts})
    return ingest(config.DataSource(format="coco", root=root), settings, config.InstanceAnnotation(), seeds, out)


def _ids(out: Path, subset: str) -> tuple[int, ...]:
    return load_coco(out / "annotations" / f"{subset}.json", out / "images").image_ids


def test_standard_layout(native: Callable, tmp_path: Path) -> None:
    root, out = native(), tmp_path / "out"
    metrics = _ingest(root, out, seeds=(0, 1))
    assert metrics == {
        "few_shot_0_images": 8,
        "few_shot_1_images": 8,
        "dev_images": 6,
        "oracle_images": 10,
        "test_images": 12,
        "categories": 3,
        "fewest_few_shot_objects": metrics["fewest_few_shot_objects"],
        "categories_without_example": 0,
        "rejected_annotations": 0,
    }
    assert metrics["fewest_few_shot_objects"] >= 2
    assert [item["name"] for item in json.loads((out / "categories.json").read_text())] == ["apple", "dog", "cup"]
    figures = json.loads((out / "ingest.json").read_text())
    assert figures["dev"]["objects"] == sum(figures["dev"]["objects_per_category"].values())
    sets = {name: set(_ids(out, name)) for name in figures}
    assert sets["few_shot_0"] != sets["few_shot_1"]
    for few_shot in ("few_shot_0", "few_shot_1"):
        assert not sets[few_shot] & (sets["dev"] | sets["oracle"])
    assert not sets["dev"] & sets["oracle"] and len(sets["test"]) == 12
    names = sorted(path.name for path in (out / "images").iterdir())
    assert all(
        filecmp.cmp(out / "images" / name, root / name[: name.index("_")] / name[name.index("_") + 1 :], False)
        for name in names
    )
    assert sum(name.startswith("val2017_") for name in names) == 12
    assert check_no_leak(out) == {name: len(ids) for name, ids in sets.items()}


def _ingest_as(names: dict[str, str], root: Path, out: Path) -> None:
    source = config.DataSource(format="coco", root=root, names=names)
    ingest(source, config.Ingest(num_real=8, num_dev=6), config.InstanceAnnotation(), (0,), out)


def test_categories_may_get_another_name(native: Callable, tmp_path: Path) -> None:
    root, out = native(), tmp_path / "out"
    _ingest_as({"cup": "coffee cup"}, root, out)
    assert [item["name"] for item in json.loads((out / "categories.json").read_text())] == [
        "apple",
        "dog",
        "coffee cup",
    ]
    few_shot = load_coco(out / "annotations" / "few_shot_0.json", out / "images")
    assert [category.id for category in few_shot.categories] == [3, 17, 90]
    assert any("a coffee cup" in sample.caption for sample in few_shot)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"mug": "cup"}, "renames mug, but .*It has: apple, dog, cup"),
        ({"cup": "dog"}, r"'dog' \(id 17\) and 'dog' \(id 90\)"),
        ({"cup": "Dog"}, r"'dog' \(id 17\) and 'Dog' \(id 90\).*merge_same_names"),
    ],
)
def test_names_that_cannot_be_used_are_told(native: Callable, tmp_path: Path, names: dict[str, str], says: str) -> None:
    with pytest.raises(DatasetDMError, match=says):
        _ingest_as(names, native(), tmp_path / "out")


def test_a_second_test_set_of_training_images_that_no_other_set_takes(native: Callable, tmp_path: Path) -> None:
    root = native()
    _ingest(root, tmp_path / "without", seeds=(0, 1))
    metrics = _ingest(root, tmp_path / "with", seeds=(0, 1), num_iid=5)
    assert metrics["iid_images"] == 5
    sets = {name: set(_ids(tmp_path / "with", name)) for name in ("few_shot_0", "few_shot_1", "dev", "oracle", "test")}
    assert sets == {name: set(_ids(tmp_path / "without", name)) for name in sets}
    assert not set(_ids(tmp_path / "with", "iid")) & set().union(*sets.values())
    assert check_no_leak(tmp_path / "with")["iid"] == 5
    with pytest.raises(DatasetDMError, match="training images that no other set takes, but 30 are asked for"):
        _ingest(root, tmp_path / "out", num_iid=30)


@pytest.fixture
def rooms(tmp_path: Path) -> Callable[[int], Path]:
    """Write four frames each of so many rooms in NYU's layout, every fifth room held out for test; returns the root."""

    def build(count: int) -> Path:
        rng, lines = np.random.default_rng(0), []
        for room in range(count):
            folder = tmp_path / "nyu" / "sync" / f"kitchen_{room:04d}"
            folder.mkdir(parents=True)
            for frame in range(4):
                Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(folder / f"rgb_{frame}.png")
                Image.fromarray(np.full((6, 8), 1500, np.uint16)).save(folder / f"depth_{frame}.png")
                lines.append(f"/{folder.name}/rgb_{frame}.png /{folder.name}/depth_{frame}.png 518.8579")
        (tmp_path / "nyu" / "train_list.txt").write_text("\n".join(lines))
        return tmp_path / "nyu"

    return build


def _ingest_rooms(root: Path, out: Path, **counts: int) -> dict[str, set[str]]:
    """The rooms of each set."""
    settings = config.Ingest.model_validate({"num_real": 6, "num_dev": 5, "num_oracle": 8, **counts})
    ingest(config.DataSource(format="nyu", root=root), settings, config.DepthAnnotation(), (0, 1), out)
    sets = {file.stem: json.loads(file.read_text())["images"] for file in (out / "annotations").glob("*.json")}
    return {name: {image["file_name"][:12] for image in images} for name, images in sets.items()}


def test_dev_shows_no_room_that_is_trained_on(rooms: Callable, tmp_path: Path) -> None:
    sets = _ingest_rooms(rooms(13), tmp_path / "out")  # ten of them for training
    assert len(sets["dev"]) == 2  # a fifth of the rooms, which hold eight images
    for other in ("few_shot_0", "few_shot_1", "oracle", "test"):
        assert not sets["dev"] & sets[other]
    assert sets["few_shot_0"] & sets["oracle"]  # both are trained on


def test_dev_takes_more_rooms_where_a_fifth_is_too_little(rooms: Callable, tmp_path: Path) -> None:
    sets = _ingest_rooms(rooms(13), tmp_path / "out", num_dev=20)
    assert len(sets["dev"]) == 5 and not sets["dev"] & (sets["few_shot_0"] | sets["oracle"])


def test_too_few_rooms_are_told(rooms: Callable, tmp_path: Path) -> None:
    says = r"12 training images of 3 places.* 4 images are left, but 6 \+ 0 are asked for: lower `ingest.num_dev`"
    with pytest.raises(DatasetDMError, match=says):
        _ingest_rooms(rooms(4), tmp_path / "out", num_oracle=0)


def test_targets_and_captions(native: Callable, tmp_path: Path) -> None:
    root, out = native(), tmp_path / "out"
    _ingest(root, out)
    source = open_native_coco(root, "val")
    for before, after in zip(source, load_coco(out / "annotations" / "test.json", out / "images"), strict=True):
        assert np.array_equal(before.target.masks, after.target.masks)
        assert np.array_equal(before.target.labels, after.target.labels)
        assert np.array_equal(before.image, after.image)
        named = {0: "an apple", 1: "a dog", 2: "a cup"}
        things = ", ".join(dict.fromkeys(named[label] for label in before.target.labels))
        assert after.caption == (f"a photo of {things}" if things else "a photo")


def test_one_of_several_captions_is_chosen_by_seed(native: Callable, tmp_path: Path) -> None:
    root = native()
    records = [{"id": k, "image_id": 100 + k // 5, "caption": f"caption {k}"} for k in range(200)]
    (root / "annotations" / "captions_train2017.json").write_text(json.dumps({"annotations": records}))
    _ingest(root, tmp_path / "out")
    split = load_coco(tmp_path / "out" / "annotations" / "dev.json", tmp_path / "out" / "images")
    numbers = [int(sample.caption.split()[1]) for sample in split]
    assert [number // 5 + 100 for number in numbers] == list(split.image_ids)
    assert len({number % 5 for number in numbers}) > 1


def test_same_bytes_every_time_and_added_seeds_change_nothing_else(native: Callable, tmp_path: Path) -> None:
    root = native()
    for out, seeds in (("one", (0,)), ("two", (0,)), ("three", (1, 0))):
        _ingest(root, tmp_path / out, seeds=seeds)
    for path in (path for path in (tmp_path / "one").rglob("*") if path.is_file()):
        relative = path.relative_to(tmp_path / "one")
        assert path.read_bytes() == (tmp_path / "two" / relative).read_bytes()
        if relative.parts[0] in ("annotations", "images"):
            assert path.read_bytes() == (tmp_path / "three" / relative).read_bytes()


def test_ids_from_zero_stay_unique(native: Callable, tmp_path: Path) -> None:
    _ingest(native(first_id=0), tmp_path / "out")
    ids = [set(_ids(tmp_path / "out", name)) for name in ("few_shot_0", "dev", "oracle")]
    assert len(set.union(*ids)) == 24 and min(set.union(*ids)) >= 1


def test_selection_is_balanced_seeded_and_reads_no_image(native: Callable) -> None:
    root = native(60)
    split = open_native_coco(root, "train")
    shutil.rmtree(root / "train2017")
    chosen = select(split, 9, seed=0)
    images_of = Counter(label for index in chosen for label in set(split.labels_of(index)))
    # An image of a dog shows an apple too, so that not every choice is balanced.
    assert max(images_of.values()) - min(images_of.values()) <= 1
    assert chosen == select(split, 9, seed=0) == sorted(set(chosen))
    assert chosen != select(split, 9, seed=1)
    assert not set(chosen) & set(select(split, 9, seed=0, exclude=chosen))
    empty = {index for index in range(60) if not split.labels_of(index)}
    assert not empty & set(select(split, 54, seed=0)) and len(select(split, 60, seed=0)) == 60
    with pytest.raises(DatasetDMError, match=r"only 55 to choose from.*ingest\.num_real"):
        select(split, 56, seed=0, exclude=range(5))


def test_a_rare_category_is_found(native: Callable) -> None:
    root = native(60)
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["categories"].append({"id": 91, "name": "rare"})
    content["annotations"][7]["category_id"] = 91
    file.write_text(json.dumps(content))
    split = open_native_coco(root, "train")
    for seed in range(5):
        assert 3 in {label for index in select(split, 4, seed=seed) for label in split.labels_of(index)}


def test_a_long_tail_is_kept(native: Callable) -> None:
    split = open_native_coco(native(60), "train")
    chosen = select_long_tail(split, 12, rare=[2], rare_images=2, seed=0)
    assert len(chosen) == 12 and sum(2 in split.labels_of(index) for index in chosen) == 2
    assert chosen == select_long_tail(split, 12, rare=[2], rare_images=2, seed=0)
    assert chosen != select_long_tail(split, 12, rare=[2], rare_images=2, seed=1)
    with pytest.raises(DatasetDMError, match=r"too few images of 'cup' for `ingest\.tail_images` 50"):
        select_long_tail(split, 55, rare=[2], rare_images=50, seed=0)


def test_the_decoder_may_learn_from_another_data_set(native: Callable, tmp_path: Path) -> None:
    root = native()
    elsewhere = config.Source(
        format="coco", root=tmp_path / "other", miniworld=config.Miniworld(num_train=12, num_val=4, image_size=64)
    )
    source = config.DataSource(format="coco", root=root, decoder=elsewhere)
    settings = config.Ingest(num_real=4, num_dev=3)
    with pytest.raises(DatasetDMError, match=r"list different categories: id .*`source\.decoder`"):
        ingest(source, settings, config.InstanceAnnotation(), (0,), tmp_path / "out")
    source = config.DataSource(format="coco", root=root, decoder=config.Source(format="coco", root=root))
    ingest(source, settings, config.InstanceAnnotation(), (0, 1), tmp_path / "out")
    assert len(_ids(tmp_path / "out", "decoder_0")) == len(_ids(tmp_path / "out", "decoder_1")) == 4


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"num_real": 30}, r"has 40 training images, but 46 .*`ingest.num_real` 30"),
        ({"num_test": 13}, r"12 validation images, but 13 .*`ingest.num_test`"),
    ],
)
def test_too_few_images_are_told(native: Callable, tmp_path: Path, counts: dict, says: str) -> None:
    with pytest.raises(DatasetDMError, match=says):
        _ingest(native(), tmp_path / "out", **counts)


def test_unreadable_images_are_counted_and_named(native: Callable, tmp_path: Path) -> None:
    root = native()
    for number in range(7):
        (root / "val2017" / f"{number:04d}.png").write_bytes(b"half")
    (root / "train2017" / "0003.png").write_bytes(b"half")
    says = r"1 of the 10 images .*'oracle' .*0003\.png cannot .*7 of the 12 images .*'test' .*0000\.png .* And 2 more"
    with pytest.raises(DatasetDMError, match=says):
        _ingest(root, tmp_path / "out")
    assert not (tmp_path / "out" / "annotations" / "test.json").exists()


def test_different_categories_are_told(native: Callable, tmp_path: Path) -> None:
    root = native()
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(file.read_text().replace('"dog"', '"cat"'))
    with pytest.raises(
        DatasetDMError, match="different categories: id 17 is 'dog' in the first and 'cat' in the second"
    ):
        _ingest(root, tmp_path / "out")


def test_left_out_annotations_are_listed(native: Callable, tmp_path: Path) -> None:
    root = native()
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = []
    content["annotations"][1]["segmentation"] = [[4.1, 4.1, 4.2, 4.1, 4.2, 4.2]]
    file.write_text(json.dumps(content))
    assert _ingest(root, tmp_path / "out")["rejected_annotations"] == 2
    figures = json.loads((tmp_path / "out" / "ingest.json").read_text())["test"]
    assert figures["rejected_by_reason"] == {"without a polygon of three points": 1, "without a pixel": 1}
    rejected = figures["rejected"]
    assert [(item["annotation_id"], item["reason"]) for item in rejected] == [
        (1, "without a polygon of three points"),
        (2, "without a pixel"),
    ]


@pytest.mark.parametrize(
    ("held_out", "reader"), [("test", "few_shot_0"), ("test", "dev"), ("dev", "oracle"), ("iid", "few_shot_0")]
)
def test_leaks_are_found_by_content(native: Callable, tmp_path: Path, held_out: str, reader: str) -> None:
    out = tmp_path / "out"
    _ingest(native(), out, num_iid=4)
    names = {
        subset: load_coco(out / "annotations" / f"{subset}.json", out / "images").names for subset in (held_out, reader)
    }
    shutil.copyfile(out / "images" / names[held_out][2], out / "images" / names[reader][1])
    with pytest.raises(DatasetDMError, match=f"set '{reader}' is the same image as .* '{held_out}'"):
        check_no_leak(out)


def test_leaks_are_found_by_name(native: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _ingest(native(), out)
    shutil.copyfile(out / "annotations" / "test.json", out / "annotations" / "few_shot_1.json")
    with pytest.raises(DatasetDMError, match="'few_shot_1' is the same image"):
        check_no_leak(out)


def test_miniworld_is_rendered_once_and_ingested(tmp_path: Path) -> None:
    root, out = tmp_path / "raw" / "coco", tmp_path / "out"
    source = config.DataSource(
        format="coco", root=root, miniworld=config.Miniworld(num_train=12, num_val=4, image_size=64)
    )
    settings = config.Ingest(num_real=4, num_dev=3, num_oracle=5)
    metrics = ingest(source, settings, config.InstanceAnnotation(), (0,), out)
    assert metrics["few_shot_0_images"] == 4 and metrics["test_images"] == 4
    assert load_coco(out / "annotations" / "test.json", out / "images")[0].image.shape == (64, 64, 3)
    stamp = root / "miniworld.json"
    marked = stamp.read_text() + "\n"
    stamp.write_text(marked)
    ingest(source, settings, config.InstanceAnnotation(), (0,), tmp_path / "again")
    assert stamp.read_text() == marked
    stamp.write_text(marked.replace('"renderer": "', '"renderer": "another '))
    render_miniworld(root, "coco", config.Miniworld(num_train=12, num_val=4, image_size=64))
    assert stamp.read_text() + "\n" == marked
    render_miniworld(root, "coco", config.Miniworld(num_train=5, num_val=4, image_size=64))
    assert len(open_native_coco(root, "train")) == 5
    assert sorted(path.name for path in root.parent.iterdir()) == ["coco"]


def test_a_folder_that_is_not_the_miniworlds_is_left_alone(native: Callable) -> None:
    root = native(4, 2)
    before = sorted(root.rglob("*"))
    with pytest.raises(DatasetDMError, match="are not overwritten"):
        render_miniworld(root, "coco", config.Miniworld(num_train=5, num_val=4, image_size=64))
    assert sorted(root.rglob("*")) == before


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real COCO samples are not at {REAL}")
def test_real_coco(tmp_path: Path) -> None:
    out = tmp_path / "out"
    metrics = _ingest(REAL, out, num_real=20, num_dev=5, num_oracle=5, num_test=8)
    assert metrics["categories"] == 80 and metrics["test_images"] == 8
    assert check_no_leak(out)["few_shot_0"] == 20
    few_shot = load_coco(out / "annotations" / "few_shot_0.json", out / "images")
    assert all(sample.caption for sample in few_shot)
    assert any(sample.caption.startswith("a photo of ") for sample in few_shot)
    assert len({label for index in range(20) for label in few_shot.labels_of(index)}) >= 40
    with Image.open(out / "images" / few_shot.names[0]) as image:
        assert image.format == "JPEG"


def test_what_covers_no_pixel_is_in_no_caption(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    """A caption is a prompt: it must not name what the annotation does not hold."""
    root = native()

    def flatten(content: dict) -> None:
        for record in content["annotations"]:
            if record["category_id"] == 17:
                record["segmentation"] = [[4.1, 4.1, 4.2, 4.1, 4.2, 4.2]]

    edit_annotations(root, "train", flatten)
    _ingest(root, tmp_path / "out", num_real=8, max_lost=0.5)
    few_shot = load_coco(tmp_path / "out" / "annotations" / "few_shot_0.json", tmp_path / "out" / "images")
    assert not any("dog" in sample.caption for sample in few_shot)
    counts = json.loads((tmp_path / "out" / "ingest.json").read_text())["few_shot_0"]["objects_per_category"]
    assert counts["dog"] == 0 and counts["apple"] > 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_without_labels_is_told(
    native: Callable, edit_annotations: Callable, tmp_path: Path, split: str
) -> None:
    root = native()
    edit_annotations(root, split, lambda content: content["annotations"].clear())
    with pytest.raises(DatasetDMError, match=f"instances_{split}2017.json .* there are none at all"):
        _ingest(root, tmp_path / "out")


def test_two_images_that_would_share_a_name_are_told(
    native: Callable, edit_annotations: Callable, tmp_path: Path
) -> None:
    root = native(6, 4)
    (root / "train2017" / "a").mkdir()

    def rename(content: dict) -> None:
        for image, name in zip(content["images"], ("a_b.png", "a/b.png"), strict=False):
            (root / "train2017" / image["file_name"]).rename(root / "train2017" / name)
            image["file_name"] = name

    edit_annotations(root, "train", rename)
    with pytest.raises(DatasetDMError, match="rename one"):
        _ingest(root, tmp_path / "out", num_real=3, num_dev=3, num_oracle=0)
