import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.voc import VOC_NAMES, open_voc, voc_colours
from datasetdm.errors import DatasetDMError

VALUES = st.sampled_from([*range(21), IGNORE])


def write_voc(
    root: Path, masks: dict[str, np.ndarray], *, palette: bool = True, folder: str = "SegmentationClass"
) -> Path:
    for name in ("JPEGImages", folder, "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        Image.new("RGB", mask.shape[::-1], "green").save(root / "JPEGImages" / f"{name}.jpg")
        write_mask(root / folder / f"{name}.png", mask, voc_colours() if palette else None)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(masks) + "\n")
    return root


def write_mask(path: Path, mask: np.ndarray, palette: np.ndarray | None) -> None:
    picture = Image.fromarray(mask)
    if palette is not None:
        picture.putpalette(palette.tobytes())
        assert picture.mode == "P"
    picture.save(path)


def mask_of(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8).repeat(12).reshape(-1, 6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_voc(tmp_path, {"2007_000032": mask_of(0, 1, 15, 255), "2007_000039": mask_of(0, 20)})


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=VALUES), st.booleans())
@settings(max_examples=25, deadline=None)
def test_indices_are_labels_in_palette_and_grey(mask: np.ndarray, palette: bool) -> None:
    with TemporaryDirectory() as folder:
        masks = {"2007_000032": mask, "2007_000039": mask_of(0, 20)}
        sample, _ = open_voc(write_voc(Path(folder), masks, palette=palette), "train")
        np.testing.assert_array_equal(sample.target.labels, mask)


def test_categories_and_labels(root: Path) -> None:
    split = open_voc(root, "train")
    assert [category.id for category in split.categories] == list(range(21))
    assert (split.categories[0].name, split.categories[15].name) == ("background", "person")
    assert len(set(VOC_NAMES)) == 21
    assert split.labels_of(0) == (1, 15)  # neither the background nor the border
    assert (split.name_of(1), split.path_of(1).name) == ("2007_000039.jpg", "2007_000039.jpg")
    assert split.captions_of(0) == ()


def test_the_colour_map_is_the_devkits() -> None:
    colours = voc_colours()
    assert colours[[0, 1, 2, 7, 15, 20, 255]].tolist() == [
        *([0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 128], [192, 128, 128], [0, 64, 128], [224, 224, 192]),
    ]


def test_augmented_masks_come_first_where_they_are(root: Path) -> None:
    (root / "SegmentationClassAug").mkdir()
    write_mask(root / "SegmentationClassAug" / "2007_000032.png", mask_of(0, 1, 14, 14), None)
    split = open_voc(root, "train")
    assert [split.labels_of(index) for index in range(2)] == [(1, 14), (20,)]


def test_other_lists(root: Path) -> None:
    official = root / "ImageSets/Segmentation/train.txt"
    official.unlink()
    (root / "splits").mkdir()
    paths = "/JPEGImages/2007_000039.jpg /SegmentationClassAug/2007_000039.png\n"
    (root / "splits/train_aug.txt").write_text(paths)
    assert [sample.name for sample in open_voc(root, "train")] == ["2007_000039.jpg"]
    with pytest.raises(DatasetDMError, match=r"ImageSets.*val\.txt is missing.*VOCtrainval"):
        open_voc(root, "val")


def test_captions_and_other_categories(root: Path) -> None:
    (root / "captions.json").write_text(json.dumps({"2007_000032.jpg": ["a plane", "a pilot"], "other.jpg": "x"}))
    (root / "classes.txt").write_text("\n".join(["background", *(f"thing {n}" for n in range(1, 21))]))
    split = open_voc(root, "train")
    assert split.captions_of(0) == ("a plane", "a pilot")
    assert split[0].caption == "a plane"
    assert split.categories[20].name == "thing 20"
    (root / "classes.txt").write_text("background\ndog\n")
    with pytest.raises(DatasetDMError, match=r"2007_000032\.png has the pixel value 15"):
        open_voc(root, "train")[0]


@pytest.mark.parametrize("text", ["dog\nbackground\n", "background\ndog\ndog\n", "\n", "background\n" * 300])
def test_broken_class_lists_are_refused(root: Path, text: str) -> None:
    (root / "classes.txt").write_text(text)
    with pytest.raises(DatasetDMError, match=r"classes\.txt"):
        open_voc(root, "train")


@pytest.mark.parametrize("text", ["[1]", '{"a": 3}', '{"a": [3]}', "{", '{"a": null}'])
def test_broken_captions_are_refused(root: Path, text: str) -> None:
    (root / "captions.json").write_text(text)
    with pytest.raises(DatasetDMError, match=r"captions\.json"):
        open_voc(root, "train")


@pytest.mark.parametrize(
    "line", ["/etc/passwd", "../a", "2007_000032 1", "JPEGImages/a.jpg SegmentationClass/b.png", "..", "a\x00", "a b c"]
)
def test_lines_that_are_no_image_names_are_refused(root: Path, line: str) -> None:
    (root / "ImageSets/Segmentation/train.txt").write_text(line)
    with pytest.raises(DatasetDMError, match=r"train\.txt"):
        open_voc(root, "train")


def test_empty_and_doubled_and_binary_lists_are_refused(root: Path) -> None:
    file = root / "ImageSets/Segmentation/train.txt"
    file.write_text("\n \n")
    with pytest.raises(DatasetDMError, match="lists nothing"):
        open_voc(root, "train")
    file.write_text("2007_000032\n2007_000039\n2007_000032\n")
    with pytest.raises(DatasetDMError, match=r"2007_000032\.jpg twice"):
        open_voc(root, "train")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetDMError, match="UTF-8"):
        open_voc(root, "train")


def test_what_is_missing_is_named_with_its_source(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DatasetDMError, match=r"nowhere is missing.*host\.robots\.ox\.ac\.uk"):
        open_voc(tmp_path_factory.mktemp("x") / "nowhere", "train")
    (root / "JPEGImages/2007_000032.jpg").unlink()
    (root / "SegmentationClass/2007_000039.png").unlink()
    with pytest.raises(DatasetDMError, match=r"lists 2 images, but 2 files.*2007_000032\.jpg.*2007_000039\.png"):
        open_voc(root, "train")


def _rgb(mask: np.ndarray) -> bytes:
    return _saved(Image.fromarray(voc_colours()[mask]))


def _renumbered(mask: np.ndarray) -> bytes:
    """What an editor makes of it: as few colours as are used, numbered anew."""
    return _saved(Image.fromarray(voc_colours()[mask]).quantize(8))


def _sixteen_bits(mask: np.ndarray) -> bytes:
    return _saved(Image.fromarray(mask.astype(np.uint16)))


def _jpeg(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="jpeg")
    return buffer.getvalue()


def _four_bits(mask: np.ndarray) -> bytes:
    """Grey with 4 bits, which decoders stretch: 1 becomes 17, another category."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = mask.shape
    rows = b"".join(b"\0" + bytes(16 * (a & 15) + (b & 15) for a, b in row.reshape(-1, 2).tolist()) for row in mask)
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _one_bit(mask: np.ndarray) -> bytes:
    return _saved(Image.fromarray(mask > 0))


def _unknown(mask: np.ndarray) -> bytes:
    return _saved(Image.fromarray(np.where(mask == 15, 21, mask)))


def _smaller(mask: np.ndarray) -> bytes:
    return _saved(Image.fromarray(mask[1:]))


def _saved(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "write", [_rgb, _renumbered, _sixteen_bits, _jpeg, _four_bits, _one_bit, _unknown, _smaller, lambda mask: b""]
)
def test_masks_that_are_not_the_original_are_refused(root: Path, write: Callable[[np.ndarray], bytes]) -> None:
    (root / "SegmentationClass/2007_000032.png").write_bytes(write(mask_of(0, 1, 15, 255)))
    split = open_voc(root, "train")
    with pytest.raises(DatasetDMError, match=r"2007_000032\.png"):
        split[0]
    assert split[1].name == "2007_000039.jpg"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_never_give_other_labels(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        mask = mask_of(0, 1, 15, 255)
        root = write_voc(Path(folder), {"2007_000032": mask}, palette=data.draw(st.booleans()))
        file = data.draw(
            st.sampled_from([root / "SegmentationClass/2007_000032.png", root / "ImageSets/Segmentation/train.txt"])
        )
        content = bytearray(file.read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content = content[:position]
        else:
            content[position] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        try:
            (sample,) = open_voc(root, "train")
        except DatasetDMError:
            return
        np.testing.assert_array_equal(sample.target.labels, mask)
