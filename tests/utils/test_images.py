"""Image files as other people have them: of other kinds than their names say, and turned in every way."""

import io
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, PngImagePlugin

from datasetdm.downstream.detection.data import train_pipeline
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import PHOTO_FORMATS, read_colours, read_image, read_map

ORIENTATION, MAKER = 0x0112, 0x010F
XMP_TURNED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
# What each orientation says of the stored rows and columns (TIFF 6.0, page 36).
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored[::-1].transpose(1, 0, 2),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: stored[:, ::-1].transpose(1, 0, 2),
}


@pytest.fixture
def picture() -> np.ndarray:
    """48 x 80 pixels in blocks that JPEG keeps apart."""
    blocks = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))


def detectors_view(path: Path) -> np.ndarray:
    """What the first transform of mmdet's pipeline loads, as RGB."""
    from mmdet.registry import TRANSFORMS

    results = TRANSFORMS.build(train_pipeline(64)[0])({"img_path": str(path)})
    assert results["img_shape"] == results["ori_shape"] == results["img"].shape[:2]
    return results["img"][..., ::-1]


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that appears when anything starts Ghostscript, ImageMagick or Inkscape."""
    folder, trace = tmp_path / "bin", tmp_path / "started"
    folder.mkdir()
    for name in ("gs", "magick", "convert", "inkscape", "rsvg-convert"):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 $@" >> {trace}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return trace


def eps(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="eps")
    return buffer.getvalue()


def pdf(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="pdf")
    return buffer.getvalue()


def psd(picture: np.ndarray) -> bytes:
    """Photoshop's simplest file: RGB of 8 bits, no layers, not compressed."""
    height, width = picture.shape[:2]
    sizes = b"".join(number.to_bytes(size, "big") for number, size in ((3, 2), (height, 4), (width, 4), (8, 2), (3, 2)))
    header = b"8BPS" + b"\0\1" + bytes(6) + sizes
    return header + bytes(12) + b"\0\0" + picture.transpose(2, 0, 1).tobytes()


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'
OTHERS = {
    "EPS": eps,
    "PDF": pdf,
    "PSD": psd,
    "SVG": lambda picture: SVG.encode(),
    "XML": lambda picture: b'\xef\xbb\xbf<?xml version="1.0"?>\n' + SVG.encode(),
    "web page": lambda picture: b"\n<!doctype html><title>404</title>",
    "JPEG 2000": lambda picture: b"\0\0\0\x0cjP  \r\n\x87\n",
    "HEIC": lambda picture: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "Git LFS": lambda picture: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
}


def test_the_trap_works(tmp_path: Path, traps: Path, picture: np.ndarray) -> None:
    (tmp_path / "photo.jpg").write_bytes(eps(picture))
    with pytest.raises(OSError, match=r"."), Image.open(tmp_path / "photo.jpg") as image:  # what Pillow does by itself
        image.load()
    assert "gs" in traps.read_text()


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.eps"])
def test_other_kinds_of_files_are_refused_by_name_and_start_nothing(
    tmp_path: Path, traps: Path, picture: np.ndarray, kind: str, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(OTHERS[kind](picture))
    readers = (read_image, detectors_view, lambda path: read_map(path, bits=8), read_colours)
    for number, reader in enumerate(readers):
        with pytest.raises(DatasetDMError, match=rf"{name} is .*{kind}{'' if number < 2 else '.*not a PNG'}"):
            reader(file)
    assert not traps.exists()


@pytest.mark.parametrize("kind", PHOTO_FORMATS)
def test_the_kinds_of_photographs_are_read_whatever_they_are_called(
    tmp_path: Path, picture: np.ndarray, kind: str
) -> None:
    file = tmp_path / "photo.jpg"
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    Image.fromarray(picture).save(file, format=kind, **options)
    image = read_image(file)
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - picture).mean() < (40 if kind == "GIF" else 6)
    np.testing.assert_array_equal(detectors_view(file), image)


def test_a_photograph_of_several_pictures_is_its_first(tmp_path: Path, picture: np.ndarray) -> None:
    """MPO: what many phones and 3D cameras write under the name of JPEG."""
    first = Image.fromarray(picture)
    first.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", first.size)])
    assert np.abs(read_image(tmp_path / "x.jpg").astype(int) - picture).mean() < 10


@pytest.mark.parametrize("orientation", [0, *range(1, 9), 9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_exif_orientation_is_applied_for_decoder_and_detector(
    tmp_path: Path, picture: np.ndarray, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(picture).save(file, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(file)
    expected = UPRIGHT.get(orientation, UPRIGHT[1])(picture)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < (0.1 if suffix != "jpg" else 15)
    np.testing.assert_array_equal(detectors_view(file), image)
    if suffix != "tif":  # OpenCV cannot read a TIFF that lies on its side
        np.testing.assert_array_equal(cv2.imread(str(file))[..., ::-1], image)


def _with_xmp(file: Path, picture: np.ndarray, exif: Image.Exif | None = None) -> None:
    options: dict[str, object] = {"xmp": XMP_TURNED}
    if file.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP_TURNED.decode())
        options = {"pnginfo": text}
    elif file.suffix == ".tif":
        options = {"tiffinfo": {700: XMP_TURNED}}
    if exif is not None:
        options["exif"] = exif
    Image.fromarray(picture).save(file, **options)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_orientation_in_xmp_alone_is_not_applied(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    file = tmp_path / f"x.{suffix}"
    _with_xmp(file, picture)
    with Image.open(file) as image:
        image.load() if suffix != "tif" else None
        assert image.getexif()[ORIENTATION] == 6  # what Pillow would go by
    assert read_image(file).shape == detectors_view(file).shape == cv2.imread(str(file)).shape == picture.shape


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_of_both_exif_is_what_counts(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    exif = Image.Exif()
    exif[MAKER] = "no orientation"
    _with_xmp(tmp_path / f"a.{suffix}", picture, exif)
    assert read_image(tmp_path / f"a.{suffix}").shape == picture.shape
    exif[ORIENTATION] = 3
    file = tmp_path / f"b.{suffix}"
    _with_xmp(file, picture, exif)
    image = read_image(file)
    np.testing.assert_array_equal(image, cv2.imread(str(file))[..., ::-1])
    assert np.abs(image.astype(int) - picture[::-1, ::-1]).mean() < 15


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
@pytest.mark.parametrize("block", [b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12", b""])
def test_a_broken_exif_block_does_not_spoil_the_photograph(
    tmp_path: Path, picture: np.ndarray, suffix: str, block: bytes
) -> None:
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(picture).save(file, exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(read_image(file), cv2.imread(str(file))[..., ::-1])
    np.testing.assert_array_equal(detectors_view(file), read_image(file))


def test_what_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(DatasetDMError, match=r"x\.jpg may not be read"):
        read_image(tmp_path / "x.jpg")


def test_a_map_in_colours_is_told_what_it_is(tmp_path: Path, picture: np.ndarray) -> None:
    for mode, words in (("RGB", "RGB colours, 8 bits"), ("LA", "grey with alpha"), ("1", "grey, 1 bits")):
        Image.fromarray(picture).convert(mode).save(tmp_path / "x.png")
        with pytest.raises(DatasetDMError, match=re.escape(words)):
            read_map(tmp_path / "x.png", bits=8)


def test_a_map_that_was_saved_as_jpeg_is_told_so(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture[..., 0]).save(tmp_path / "x.png", format="JPEG")
    with pytest.raises(DatasetDMError, match=r"x\.png is a JPEG file, not a PNG"):
        read_map(tmp_path / "x.png", bits=8)
