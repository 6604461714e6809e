"""Own data in VOC's layout: names and colours as labelme and CVAT write them."""

import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.voc import open_voc, voc_colours
from datasetdm.errors import DatasetDMError

CVAT = """# label:color_rgb:parts:actions
background:0,0,0::
cat:250,50,83::
dog:51,221,255:head,tail:run
ignored:224,224,192::
"""
CVAT_COLOURS = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], dtype=np.uint8)
MASK = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [2, 2, 0, 0]], dtype=np.uint8)


def write(root: Path, masks: dict[str, Image.Image], suffix: str = ".jpg", split: str = "train") -> Path:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        Image.new("RGB", mask.size, "green").save(root / "JPEGImages" / f"{name}{suffix}")
        mask.save(root / "SegmentationClass" / f"{name}.png")
    (root / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{name}\n" for name in masks))
    return root


def grey(mask: np.ndarray = MASK) -> Image.Image:
    return Image.fromarray(mask)


def with_palette(colours: np.ndarray, mask: np.ndarray = MASK) -> Image.Image:
    picture = Image.fromarray(mask)
    picture.putpalette(colours.tobytes())
    return picture


def names(root: Path) -> list[str]:
    return [category.name for category in open_voc(root, "train").categories]


def test_own_images_do_not_get_vocs_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"kitty": grey(), "rex": grey()})
    with pytest.raises(DatasetDMError, match=r"2 images that are not VOC's own \(kitty\.jpg, rex\.jpg\).*classes\.txt"):
        open_voc(tmp_path, "train")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    with caplog.at_level(logging.WARNING):
        assert open_voc(tmp_path, "train").labels_of(0) == (1, 2)
    assert not caplog.records


def test_names_of_six_digits_may_be_vocs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert names(write(tmp_path / "2012", {"2007_000032": grey()}))[1] == "aeroplane"
    assert not caplog.records
    assert names(write(tmp_path / "2007", {"000032": grey()}))[1] == "aeroplane"
    assert "taken for VOC's own" in caplog.text


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "background\ncat\ndog\n"),
        ("classes.txt", "\ufeffBackground\r\ncat  \r\n\r\ndog\r\n"),
        ("class_names.txt", "_background_\ncat\ndog"),  # as labelme2voc.py ends it
        ("class_names.txt", "__ignore__\n_background_\ncat\ndog\n"),  # labelme's labels.txt
        ("labelmap.txt", CVAT),
        ("labelmap.txt", "background:::\ncat:::\ndog:::\n"),
    ],
)
def test_the_three_lists_of_names(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path, {"kitty": grey(), "rex": grey(np.where(MASK == 1, IGNORE, MASK))})
    (tmp_path / file).write_text(text, newline="")
    split = open_voc(tmp_path, "train")
    assert [(category.id, category.name) for category in split.categories] == [
        (0, "background"),
        (1, "cat"),
        (2, "dog"),
    ]
    np.testing.assert_array_equal(split[0].target.labels, MASK)
    assert [split.labels_of(index) for index in range(2)] == [(1, 2), (2,)]


def test_what_is_void_is_no_category(tmp_path: Path) -> None:
    write(tmp_path, {"kitty": grey()})
    (tmp_path / "class_names.txt").write_text("_background_\n_void_\ndog\n")
    split = open_voc(tmp_path, "train")
    assert [(category.id, category.name) for category in split.categories] == [(0, "background"), (2, "dog")]
    np.testing.assert_array_equal(split[0].target.labels, np.array([0, IGNORE, 1], dtype=np.uint8)[MASK])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_colours_of_cvat(tmp_path: Path, order: list[int]) -> None:
    """RGB, RGBA and palette, whatever the order of the lines; the border is VOC's."""
    lines = [line for line in CVAT.splitlines() if not line.startswith(("#", "ignored"))]
    text = "\n".join(lines[number] for number in order)
    rgb = Image.fromarray(CVAT_COLOURS[MASK])
    border = rgb.copy()
    border.putpixel((0, 0), (224, 224, 192))
    renumbered = with_palette(CVAT_COLOURS[[1, 2, 0]], np.array([2, 0, 1], dtype=np.uint8)[MASK])
    masks = {"a": rgb, "b": rgb.convert("RGBA"), "c": with_palette(CVAT_COLOURS), "d": renumbered, "e": border}
    write(tmp_path, masks)
    (tmp_path / "labelmap.txt").write_text(text)
    split = open_voc(tmp_path, "train")
    expected = np.array([order.index(value) for value in range(3)], dtype=np.uint8)[MASK]
    for index in range(4):
        np.testing.assert_array_equal(split[index].target.labels, expected)
    assert split[4].target.labels[0, 0] == IGNORE
    assert [split.categories[label].name for label in split.labels_of(0)] == [
        name for name in (split.categories[label].name for label in range(3)) if name != "background"
    ]


def test_numbers_with_a_labelmap_are_in_the_order_of_its_lines(tmp_path: Path) -> None:
    write(tmp_path, {"a": grey(), "b": with_palette(voc_colours())})
    (tmp_path / "labelmap.txt").write_text(CVAT)
    for sample in open_voc(tmp_path, "train"):
        np.testing.assert_array_equal(sample.target.labels, MASK)


def test_unknown_colours_are_told(tmp_path: Path) -> None:
    picture = CVAT_COLOURS[MASK]
    picture[0, 0], picture[1, 1] = (1, 2, 3), (255, 255, 255)
    write(tmp_path, {"a": Image.fromarray(CVAT_COLOURS[MASK]), "b": Image.fromarray(picture)})
    (tmp_path / "labelmap.txt").write_text(CVAT)
    split = open_voc(tmp_path, "train")
    with pytest.raises(DatasetDMError, match=r"b\.png has the pixel value \(1, 2, 3\), \(255.*labelmap\.txt"):
        split[1]
    with pytest.raises(DatasetDMError, match=r"1 of the 2 annotations.*\(b\.png\).*\(1, 2, 3\)"):
        split.labels_of(0)


def test_colours_without_a_labelmap_are_told_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, {"a": Image.fromarray(CVAT_COLOURS[MASK])})
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    with pytest.raises(DatasetDMError, match=r"a\.png is a picture in colours, and there is no labelmap\.txt"):
        open_voc(tmp_path, "train")[0]


def test_all_values_without_a_name_are_told_at_once(tmp_path: Path) -> None:
    strange = {f"x{number}": grey(np.where(MASK == 2, 3 + number, MASK).astype(np.uint8)) for number in range(7)}
    write(tmp_path, {"good": grey(), **strange})
    (tmp_path / "SegmentationClass/good.png").write_bytes(b"")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    with pytest.raises(
        DatasetDMError,
        match=r"8 of the 8 .*7 of them \(x0\.png, .*x4\.png and 2 more\).*: 3, 4, 5, 6, 7 and 2 more\. "
        r"Add the missing names to classes\.txt.*good\.png is not a PNG",
    ):
        open_voc(tmp_path, "train").labels_of(0)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"classes.txt": "background\ncat\ndog", "class_names.txt": "_background_\ndog\ncat"}, "different categories"),
        ({"class_names.txt": "cat\ndog\n"}, "has to begin with 'background'"),
        ({"class_names.txt": "_background_\n"}, "nothing but the background"),
        ({"labelmap.txt": "cat:1,2,3::\ndog:4,5,6::"}, r"no background: add the line 'background:0,0,0::'"),
        ({"labelmap.txt": "background:0,0,0::\ncat:0,0,0::"}, "two categories have the colour 0,0,0"),
        ({"labelmap.txt": "background:0,0,0::\ncat:1,2,333::"}, "'cat:1,2,333::' is not"),
        ({"labelmap.txt": "background:0,0,0::\ncat"}, "'cat' is not"),
        ({"labelmap.txt": "background:0,0,0::\ncat:1,1,1::\ncat:2,2,2::"}, "has cat twice"),
    ],
)
def test_lists_of_names_that_cannot_be_used(tmp_path: Path, files: dict[str, str], words: str) -> None:
    write(tmp_path, {"a": grey()})
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(DatasetDMError, match=words):
        open_voc(tmp_path, "train")


def test_two_lists_that_agree_are_one(tmp_path: Path) -> None:
    write(tmp_path, {"a": Image.fromarray(CVAT_COLOURS[MASK])})
    (tmp_path / "labelmap.txt").write_text(CVAT.replace("ignored:224,224,192::\n", ""))
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    np.testing.assert_array_equal(open_voc(tmp_path, "train")[0].target.labels, MASK)


def test_binary_masks_are_refused_but_sparse_ones_are_not(tmp_path: Path) -> None:
    binary = grey(np.where(MASK == 1, 255, 0).astype(np.uint8))
    write(tmp_path, {f"x{number}": binary for number in range(20)})
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    with pytest.raises(DatasetDMError, match=r"no.* pixel value but 0 and 255, .*binary"):
        open_voc(tmp_path, "train")
    grey(np.where(MASK == 1, 1, 0).astype(np.uint8)).save(tmp_path / "SegmentationClass/x13.png")
    assert open_voc(tmp_path, "train").labels_of(13) == (1,)


def test_a_single_category_among_many_is_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {f"x{number}": grey(MASK % 2) for number in range(8)})
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    open_voc(tmp_path, "train").labels_of(0)
    assert "a single category, 'cat', though the data set has 2" in caplog.text


def test_lists_and_names_of_files_as_others_write_them(tmp_path: Path) -> None:
    """Dots, blanks, accents in either form, suffixes in any case, CRLF, a byte order mark, macOS's shadow files."""
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    stems = ["street_jpg.rf.06d5", "my photo", "Screenshot at 3.45.12\u202fPM", decomposed, f"{composed}2", "x.jpg"]
    write(tmp_path, {stem: grey() for stem in stems}, suffix=".JPG")
    images, masks = tmp_path / "JPEGImages", tmp_path / "SegmentationClass"
    (masks / f"{decomposed}.png").rename(masks / f"{decomposed}.PNG")
    for folder in (images, masks):
        for name in (f"._{stems[0]}.JPG", ".DS_Store", "Thumbs.db"):
            (folder / name).write_bytes(b"\0\5\26\7")
    (images / "Screenshot at 3.45.12\u202fPM.JPG").rename(tmp_path / "elsewhere")
    (images / "Screenshot at 3.45.12\u202fPM.JPG").symlink_to(tmp_path / "elsewhere")
    lines = ["street_jpg.rf.06d5  ", '"my photo"', stems[2], composed, f"{decomposed}2.jpg", "x.jpg", ""]
    (tmp_path / "ImageSets/Segmentation/train.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    (tmp_path / "captions.json").write_text(f'{{"{composed}.JPG": "a cat in a caf\u00e9"}}')
    split = open_voc(tmp_path, "train")
    assert [sample.name for sample in split] == [f"{stem}.JPG" for stem in stems]
    assert split.captions_of(3) == ("a cat in a caf\u00e9",)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("my photo\n")
    assert len(open_voc(tmp_path, "train")) == 1


def test_cvats_list_has_to_be_divided(tmp_path: Path) -> None:
    write(tmp_path, {"a": grey()}, split="default")
    (tmp_path / "labelmap.txt").write_text(CVAT)
    with pytest.raises(DatasetDMError, match=r"train\.txt is missing.*There is default\.txt: divide it") as told:
        open_voc(tmp_path, "train")
    assert "VOCtrainval" not in str(told.value)
