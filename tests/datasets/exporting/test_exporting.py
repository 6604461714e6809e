"""An export is whole or not there, takes no other folder's place, and never mixes up images."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.exporting import names as naming
from datasetdm.datasets.exporting.exporting import RECORD, Export, export
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.datasets.exporting.names import Names
from datasetdm.errors import DatasetDMError
from tests.datasets.exporting.conftest import MakeExport, contents_of, image_of, samples_of, source_set


def test_the_record_says_what_it_is(make_export: MakeExport) -> None:
    folder, samples = make_export("instance", "yolo", splits=("train", "val"), facts={"format": "yolo"})
    record = json.loads((folder / RECORD).read_text())
    assert record["format"] == "yolo" and record["task"] == "instance"
    assert [(part["split"], part["count"]) for part in record["sets"]] == [("train", 6), ("val", 6)]
    assert [item["name"] for item in record["classes"]][:2] == ["traffic light", "yes"]
    crowds = sum(int(sample.target.crowd.sum()) for sample in samples)
    assert crowds and sum(count for what, count in record["lost"].items() if "crowd" in what) == crowds


@pytest.mark.parametrize("name", list(FORMATS))
def test_what_was_there_stays_if_an_export_fails(name: str, make_export: MakeExport, tmp_path: Path) -> None:
    folder, _ = make_export("instance", name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    broken = source_set(tmp_path / "broken", "instance", samples_of("instance", seed=5))
    (tmp_path / "broken" / "images" / "plain.png").unlink()
    with pytest.raises(DatasetDMError, match=r"plain\.png"):
        export(contents_of("instance", broken), FORMATS[name].write, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "broken", "sets"])
    make_export("instance", name, count=2)  # an older export is replaced
    assert json.loads((folder / RECORD).read_text())["sets"][0]["count"] == 2


def test_a_leftover_of_a_killed_export_is_removed(make_export: MakeExport, tmp_path: Path) -> None:
    leftover = tmp_path / ".coco.0123abcd.tmp"
    leftover.mkdir()
    make_export("instance", "coco")
    assert not leftover.exists()


def test_other_folders_are_left_alone(make_export: MakeExport, tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    make_export("instance", "coco")  # an empty folder is nobody's
    (tmp_path / "coco" / "notes.txt").write_text("mine")
    with pytest.raises(DatasetDMError, match=r"holds notes\.txt, which the export did not write"):
        make_export("instance", "coco")
    (tmp_path / "coco" / RECORD).unlink()
    with pytest.raises(DatasetDMError, match="no export of DatasetDM, so it stays as it is"):
        make_export("instance", "coco")
    (tmp_path / "yolo").write_text("a file")
    with pytest.raises(DatasetDMError, match="no export of DatasetDM"):
        make_export("instance", "yolo")


def test_images_are_linked_or_copied(make_export: MakeExport, tmp_path: Path) -> None:
    folder, samples = make_export("instance", "coco")
    for copy in (False, True):
        make_export("instance", "coco", copy=copy)
        for sample in samples:
            source = tmp_path / "sets" / "train" / "images" / sample.name
            target = next((folder / "images" / "train").glob(f"{Path(sample.name).stem.replace('?', '_')[:4]}*"))
            assert target.read_bytes() == source.read_bytes()
            assert os.path.samefile(source, target) != copy


def test_photos_that_exif_turns_are_written_upright(tmp_path: Path) -> None:
    part = source_set(tmp_path / "set", "instance", samples_of("instance", 2, names=("a.jpg", "b.png")))
    pixels = np.zeros((64, 37, 3), dtype=np.uint8)  # the image of the first sample is 37 x 64
    pixels[:20] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "set" / "images" / "a.jpg", exif=exif, quality=95)
    export(contents_of("instance", part), FORMATS["coco"].write, tmp_path / "out")
    images = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())["images"]
    assert [record["file_name"] for record in images] == ["a.png", "b.png"]
    turned = image_of(tmp_path / "out" / "images" / "train" / "a.png")
    assert turned.shape[:2] == (images[0]["height"], images[0]["width"]) == (37, 64)
    assert turned[:, -15:].mean() > 150 and turned[:, :30].mean() < 50


def test_images_of_several_sets_do_not_collide(tmp_path: Path) -> None:
    names = ("a.png", "A.jpg", "é.png", "sub/a.png")
    sets = [
        source_set(tmp_path / name, "instance", samples_of("instance", 4, seed, names), benchmark=name)
        for seed, name in enumerate(("one", "two", "three"))
    ]
    export(contents_of("instance", *sets), FORMATS["yolo"].write, tmp_path / "out")
    images, labels = (list((tmp_path / "out" / kind / "train").iterdir()) for kind in ("images", "labels"))
    assert len(images) == len(labels) == 12
    assert len({path.stem.casefold() for path in images}) == 12
    assert {path.stem for path in images} == {path.stem for path in labels}
    pixels = {image_of(path).tobytes() for path in images}
    assert len(pixels) == 12


def test_names_that_systems_refuse_are_changed() -> None:
    names = Names()
    assert names.name('what? "this".jpg', "b") == "what_ _this_.jpg"
    assert names.name("x" * 250 + ".jpg", "b").startswith("xxx")
    assert len(names.name("日" * 80 + ".jpg", "b").encode()) <= 180
    assert names.name("photo.heic_converted", "b") == "photo.png"
    assert Names(plain=True).name("my photo\u202f1.png", "b") == "my_photo_1.png"
    assert [names.name("same.png", "b") for _ in range(4)] == ["same.png", "b_same.png", "b_same_2.png", "b_same_3.png"]


def test_many_images_of_the_same_name_are_named_without_searching(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    monkeypatch.setattr(naming, "_key", lambda name, key=naming._key: looked_up.append(name) or key(name))
    names = Names()
    assert len({names.name("same.png", "b") for _ in range(1000)}) == 1000
    assert len(looked_up) <= 4 * 1000


def test_images_pass_through_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A format holds one image at a time: none is asked for before the last one was written."""
    part = source_set(tmp_path / "set", "instance", samples_of("instance"))
    asked, placed = [], []
    item, place = Export._item, Export.place
    monkeypatch.setattr(Export, "_item", lambda self, *a: asked.append(len(placed)) or item(self, *a))
    monkeypatch.setattr(Export, "place", lambda self, *a: placed.append(a) or place(self, *a))
    for name in ("coco", "yolo", "voc", "cvat", "imagefolder"):
        asked.clear()
        placed.clear()
        export(contents_of("instance", part), FORMATS[name].write, tmp_path / name)
        assert asked == list(range(6))


def test_labels_of_a_merged_set_are_those_of_the_whole(tmp_path: Path) -> None:
    table, samples = np.array([0, 3, 2, 1]), samples_of("semantic", 2)
    part = source_set(tmp_path / "set", "semantic", samples, table=table)
    export(contents_of("semantic", part), FORMATS["imagefolder"].write, tmp_path / "out")
    for sample in samples:
        name = Path(sample.name).with_suffix(".png").name
        labels = image_of(tmp_path / "out" / "train" / "masks" / name)
        known = sample.target.labels < 4
        assert (labels[known] == table[sample.target.labels[known]]).all() and (labels[~known] == 255).all()
