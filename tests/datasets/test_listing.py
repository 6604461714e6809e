"""Lists and the files that they name, as other systems write them."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.native.deepfashion import open_deepfashion
from datasetdm.datasets.native.kitti import open_kitti
from datasetdm.datasets.native.listing import Finder, captions_of, read_captions, read_names, visible, without_suffix
from datasetdm.datasets.native.nyu import open_nyu
from datasetdm.datasets.native.voc import open_voc
from datasetdm.errors import DatasetDMError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    "data",
    [
        b"a\nb\n",
        b"\xef\xbb\xbfa\r\nb\r\n",
        b"a  \r\n\r\n  \t\nb\t\n\n",
        b"a\rb",
    ],
)
def test_lists_of_any_system(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train.txt").write_bytes(data)
    assert read_names(tmp_path / "train.txt", "-") == ["a", "b"]


def test_windows_sixteen_bit_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("a\r\n".encode("utf-16"))
    with pytest.raises(DatasetDMError, match="UTF-8"):
        read_names(tmp_path / "train.txt", "-")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.jpg", "a"),
        ("a.JPEG", "a"),
        ("a", "a"),
        ("street_jpg.rf.06d5", "street_jpg.rf.06d5"),
        ("street_jpg.rf.06d5.Tiff", "street_jpg.rf.06d5"),
        (".jpg", ".jpg"),
    ],
)
def test_only_suffixes_of_images_are_suffixes(name: str, stem: str) -> None:
    assert without_suffix(name) == stem


def test_files_are_found_in_the_other_form_and_case(tmp_path: Path) -> None:
    for name in (f"{DECOMPOSED}/{COMPOSED}.JPG", "x.PNG", "x.jpg", "y.JPG", "y.jpg", "._z.jpg", "Upper.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    find = Finder()
    assert find.file(tmp_path, f"{COMPOSED}/{DECOMPOSED}.jpg") == tmp_path / f"{DECOMPOSED}/{COMPOSED}.JPG"
    assert find.file(tmp_path, "x.png") == tmp_path / "x.PNG"
    assert find.file(tmp_path, "y.jpg") == tmp_path / "y.jpg"  # what is there to the letter comes first
    assert find.file(tmp_path, "y.JPG") == tmp_path / "y.JPG"
    assert find.file(tmp_path, "upper.png") == tmp_path / "upper.png"  # the case of a name does tell files apart
    assert find.image(tmp_path, "x") == tmp_path / "x.jpg"
    assert find.image(tmp_path / DECOMPOSED, DECOMPOSED) == tmp_path / f"{DECOMPOSED}/{COMPOSED}.JPG"
    assert find.image(tmp_path, "z") == tmp_path / "z.jpg"  # which is not there
    assert find.image(tmp_path / "nowhere", "z") == tmp_path / "nowhere" / "z.jpg"
    assert [path.name for path in visible(tmp_path.glob("*.jpg"))] == ["x.jpg", "y.jpg"]


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.JPG").touch()
    listed = []
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or ["a.JPG"])
    find = Finder()
    assert [find.image(tmp_path, name).name for name in ("a", "b", "a")] == ["a.JPG", "b.jpg", "a.JPG"]
    assert len(listed) == 1


def test_captions_are_found_in_either_form(tmp_path: Path) -> None:
    for key, asked in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (COMPOSED, COMPOSED)):
        (tmp_path / "captions.json").write_text(f'{{"{key}.jpg": "a table"}}')
        captions = read_captions(tmp_path / "captions.json")
        assert captions_of(captions, "other.jpg", f"{asked}.jpg") == ("a table",)
    assert captions_of(captions, "other.jpg") == ()


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


PHOTO, LABELS, DEPTH = np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), np.uint8), np.full((4, 6), 5000, np.uint16)


def deepfashion(root: Path) -> None:
    write(root / "images" / "MEN-id_01.JPG", PHOTO)
    write(root / "segm" / "MEN-id_01_segm.png", LABELS)
    (root / "train.txt").write_text("MEN-id_01.jpg\r\n")
    (root / "val.txt").write_text("MEN-id_01\r\n")


def voc(root: Path) -> None:
    write(root / "JPEGImages" / "a.b.JPG", PHOTO)
    write(root / "SegmentationClass" / "a.b.png", LABELS)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("a.b\r\n")
    (root / "classes.txt").write_text("background\r\ncat\r\n")


def nyu(root: Path) -> None:
    write(root / "sync/kitchen_0001" / "rgb_0.JPG", PHOTO)
    write(root / "sync/kitchen_0001" / "sync_depth_0.png", DEPTH)
    (root / "train_list.txt").write_text("\ufeff/kitchen_0001/rgb_0.jpg /kitchen_0001/sync_depth_0.png 518.8\r\n")


def kitti(root: Path) -> None:
    write(root / "input/x_drive_1" / "0.PNG", PHOTO)
    write(root / "gt_depth/x_drive_1" / "0.png", DEPTH)
    (root / "kitti_eigen_train.txt").write_text("x_drive_1/0.png x_drive_1/0.png\r\n\r\n")


@pytest.mark.parametrize(
    ("build", "read"), [(deepfashion, open_deepfashion), (voc, open_voc), (nyu, open_nyu), (kitti, open_kitti)]
)
def test_single_linked_files_are_followed_in_every_layout(tmp_path: Path, build, read) -> None:  # type: ignore[no-untyped-def]
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    build(root)
    elsewhere.mkdir()
    for number, path in enumerate([path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".png")]):
        path.rename(elsewhere / str(number))
        path.symlink_to(elsewhere / str(number))
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        (path.parent / ".DS_Store").write_bytes(b"\0")
    (sample,) = read(root, "train")
    assert sample.image.shape == (4, 6, 3)
    (elsewhere / "0").unlink()
    with pytest.raises(DatasetDMError, match="1 files of images or annotations are missing"):
        read(root, "train")


@pytest.mark.parametrize("name", ["../x.png", "/x/../../y.png", "a/b\\c.png", "C:/x.png"])
def test_names_still_may_not_leave_their_folder(tmp_path: Path, name: str) -> None:
    nyu(tmp_path)
    (tmp_path / "train_list.txt").write_text(f"/kitchen_0001/rgb_0.jpg {name}\n")
    with pytest.raises(DatasetDMError, match=r"train_list\.txt: the file name"):
        open_nyu(tmp_path, "train")
