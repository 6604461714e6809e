"""Broken and odd exports: what cannot be used is counted, and all problems are named at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.importing.file_names import file_names
from datasetdm.datasets.importing.splitting import group_of
from datasetdm.datasets.native import open_split
from datasetdm.errors import DatasetDMError
from tests.datasets.importing.builders import coco, labelme, pictures, write
from tests.datasets.importing.conftest import Import


def export(root: Path, count: int = 30) -> dict[str, Any]:
    """A COCO file with its images in a folder; what is returned may be changed and written again."""
    content = coco(pictures(root, count))
    write(root / "labels.json", content)
    return content


def test_what_is_odd_is_counted(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    content = export(root)
    images, annotations = content["images"], content["annotations"]
    (root / images[0]["file_name"]).unlink()
    (root / images[1]["file_name"]).write_bytes(b"no image")
    annotations[5]["segmentation"] = [[1, 1, 5, 5]]
    annotations[5]["bbox"] = []
    annotations[6]["segmentation"] = [[-5.0, 2, 12, 2, 12, 9, -5, 9]]
    annotations[7]["category_id"] = 99
    annotations[8]["segmentation"] = {"size": [24, 32], "counts": [100, 10, 658]}
    annotations[9] |= {"segmentation": {"size": [24, 32], "counts": [100, 10, 658]}, "iscrowd": 1}
    (root / images[12]["file_name"]).write_bytes((root / images[14]["file_name"]).read_bytes())
    write(root / "labels.json", content)
    report = "\n".join(run_import(root).report)
    for expected in (
        "1 × images are listed but missing: left out",
        "1 × images cannot be read: left out",
        "1 × objects have neither a polygon of three points nor a box",
        " polygons reach over the border of the image: cut there",
        "1 × objects have a category that is not listed: left out",
        "1 × regions are crowds",
        "1 × images are copies of another one: left out",
    ):
        assert expected in report


def test_all_problems_are_named_at_once_and_nothing_is_written(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    content = export(root, 10)
    for image in content["images"][:5]:
        image["width"] += 10
    content["images"].append(dict(content["images"][9]))
    write(root / "labels.json", content)
    write(root / "more.json", '{"images": [')
    with pytest.raises(DatasetDMError) as error:
        run_import(root)
    for expected in ("more.json is not valid JSON", "2 images have the id 9", "5 of 10 images cannot be used"):
        assert expected in str(error.value)
    assert "another size than the annotation says" in str(error.value)
    assert not Path("data").exists()


def test_an_import_does_not_replace_its_own_export(run_import: Import, tmp_path: Path) -> None:
    export(Path("data/raw/mine"))
    with pytest.raises(DatasetDMError, match="which the import would replace"):
        run_import(Path("data/raw/mine"), replace=True)
    assert Path("data/raw/mine/labels.json").is_file()


def test_names_do_not_lead_out_of_the_folder(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    content = export(root, 20)
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((24, 32, 3), dtype=np.uint8)).save(secret)
    content["images"][0]["file_name"] = "../secret.png"
    content["images"][1]["file_name"] = str(secret)
    write(root / "labels.json", content)
    imported = run_import(root)
    assert "2 × images are listed but missing" in "\n".join(imported.report)
    assert not list(imported.folder.rglob("*secret*"))


def test_photos_turned_by_exif_stay_in_their_grid(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    items = pictures(root, 10, suffix=".JPG")
    exif = Image.Exif()
    exif[0x0112] = 6
    for item in items:
        Image.open(item.file).save(item.file, exif=exif)
    content = coco(items)
    write(root / "labels.json", content)
    with pytest.raises(DatasetDMError, match=r"sides swapped(.|\n)*mogrify"):
        run_import(root)
    for image in content["images"]:  # as a tool writes it that turns photos upright before it shows them
        image |= {"height": 32, "width": 24}
    write(root / "labels.json", content)
    sample = open_split("coco", run_import(root).folder, "train")[0]
    assert sample.image.shape == (32, 24, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "P", "CMYK"])
def test_any_kind_of_image(mode: str, run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    items = pictures(root, 6, suffix=".TIFF")
    for number, item in enumerate(items):
        pixels = np.full((24, 32), 40 * number, dtype=np.uint16 if mode == "I;16" else np.uint8)
        image = Image.fromarray(pixels)
        (image if mode == "I;16" else image.convert(mode)).save(item.file)
    write(root / "labels.json", coco(items))
    assert open_split("coco", run_import(root).folder, "train")[0].image.shape == (24, 32, 3)


def test_ids_may_be_texts(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    ids = {"cat": "CAT", "traffic light": "TRL", "dog": "DOG"}
    write(root / "labels.json", coco(pictures(root, 6), ids))
    split = open_split("coco", run_import(root).folder, "train")
    assert {category.name: category.id for category in split.categories} == {"cat": 1, "traffic light": 2, "dog": 3}


def test_labelme_finds_images_by_their_last_name_only(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "photos", 6)
    labelme(items, tmp_path / "export")  # imagePath is ..\photos\<name>, which is not followed
    (tmp_path / "export" / items[0].name).unlink()
    imported = run_import(tmp_path / "export", keep_going=True)
    assert "1 × images are missing, and are not in labelme's file either" in "\n".join(imported.report)


def test_the_split_keeps_groups_together(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    items = pictures(root, 24)
    for number, item in enumerate(items):
        item.file = item.file.rename(root / f"video_{number // 4:03d}_frame_{number:02d}.png")
        item.name = item.file.name
    write(root / "labels.json", coco(items))
    imported = run_import(root)
    assert "in 6 groups (video_000, video_001, video_002, ...)" in "\n".join(imported.report)
    train, val = (open_split("coco", imported.folder, side) for side in ("train", "val"))  # type: ignore[arg-type]
    groups = [{split.group_of(index) for index in range(len(split))} for split in (train, val)]
    assert groups[0].isdisjoint(groups[1])
    assert len(groups[0] | groups[1]) == 6
    names = {train.name_of(index) for index in range(len(train))}
    again = open_split("coco", run_import(root, name="again").folder, "train")
    assert names == {again.name_of(index) for index in range(len(again))}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("video_001_frame_12.jpg", "video_001"),
        ("clips/kitchen-f0012.png", "kitchen"),
        ("dog_jpg.rf.0123456789abcdef.jpg", "dog_jpg"),
        ("scene12/left/0001.png", "scene12"),
        ("IMG_0042.JPG", "IMG_0042.JPG"),
        ("dog_001.jpg", "dog_001.jpg"),
        ("leaf12.jpg", "leaf12.jpg"),
    ],
)
def test_groups_by_names(name: str, group: str) -> None:
    assert group_of(name) == group


def test_a_pattern_names_the_groups() -> None:
    assert group_of("plot7_2024.jpg", r"(plot\d+)") == "plot7"
    assert group_of("other.jpg", r"(plot\d+)") == "other.jpg"


def test_images_of_one_name_get_two(tmp_path: Path) -> None:
    from datasetdm.datasets.importing.contents import Picture

    files = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.JPG", tmp_path / "b" / "1.png", tmp_path / ("x" * 240)]
    found = [Picture(file=file, name=file.name) for file in files]
    assert file_names(found)[:3] == ["1.jpg", "b_1.JPG", "1.png"]
    assert file_names(found, by_stem=True)[:3] == ["1.jpg", "b_1.JPG", "1_2.png"]
    assert len(file_names(found)[3]) < 200


def test_a_validation_file_is_held_out(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "images", 12)
    for name, part in (("a", items[:4]), ("b", items[4:8]), ("held", items[8:])):
        write(tmp_path / "json" / f"{name}.json", coco(part))
    files = [tmp_path / "json" / f"{name}.json" for name in ("a", "b", "held")]
    imported = run_import(*files[:2], val=files[2], images=(tmp_path / "images",))
    train, val = (open_split("coco", imported.folder, side) for side in ("train", "val"))  # type: ignore[arg-type]
    assert (len(train), len(val)) == (8, 4)
    assert {Path(val.path_of(index)).name for index in range(4)} == {item.name for item in items[8:]}


def test_other_json_files_and_circles_of_links_do_no_harm(run_import: Import, tmp_path: Path) -> None:
    root = tmp_path / "export"
    content = export(root, 8)
    write(root / "package.json", {"info": "a program", "version": 1})
    write(root / "image_info_test.json", {**content, "annotations": []})
    (root / "again").symlink_to(root)
    report = "\n".join(run_import(root).report)
    assert "8 images, 12 objects" in report
    assert "1 × JSON files are not in COCO's format" in report
    assert "1 × JSON files have no annotation" in report
