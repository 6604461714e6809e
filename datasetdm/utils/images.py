"""Read image files: one reader for all tasks and models, including mmdet's."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from datasetdm.errors import DatasetDMError

#: The formats that Pillow may recognise, whatever the file's extension. It knows some forty more, and some of those
#: start another program: a PostScript file named photo.jpg would run Ghostscript.
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

# What Pillow's decoders raise for damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
_PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN_PNG = 41  # bytes up to the name of the second chunk
_SURELY_READ = 2**26  # pixels; Pillow warns of more than this
_BIT_DEPTH_AT, _COLOUR_TYPE_AT = 24, 25  # in the header chunk
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6  # PNG colour types
_LARGEST_SIDE = 2**15 - 2  # pixels; OpenCV's warps count in 16 bits
_ORIENTATION = 0x0112  # EXIF tag
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# First bytes of files that are often found in place of an image.
_OTHER_KINDS = {
    b"%!PS": "a PostScript (EPS) file",
    b"\xc5\xd0\xd3\xc6": "a PostScript (EPS) file",
    b"%PDF": "a PDF file",
    b"\0\0\0\x0cjP": "a JPEG 2000 file",
    b"8BPS": "a Photoshop (PSD) file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file (an SVG drawing?)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS (run `git lfs pull`)",
}
_BOXED_KINDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}  # after `ftyp` in byte 4
REMEDY = "It is damaged or incomplete: download or export it again, or leave it out."


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 H x W x 3, RGB.

    Reads JPEG, PNG, WebP, TIFF, BMP, GIF and PPM, recognised by content and not by extension. The conversions are
    OpenCV's: it applies the EXIF orientation (not the one in XMP, which annotation tools ignore too), converts grey,
    palette and CMYK images to RGB, drops an alpha channel, keeps the upper 8 bits of 16-bit grey, and reads the first
    frame of an animation.

    Raises:
        DatasetDMError: the file is missing, damaged, incomplete, far too large, or of another kind.
    """
    with _told(path), _opened(path) as image:
        if max(image.size) > _LARGEST_SIDE:
            raise Image.DecompressionBombError(f"a side has more than {_LARGEST_SIDE} pixels")
        upright = _upright(image)
        if upright.mode.startswith("I;16"):
            return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if upright.mode in ("I", "F"):
            raise ValueError("32-bit grey has no defined range of brightness")
        # A copy, because some arrays over Pillow's memory are read-only.
        return np.array(upright.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file as its header says, before a rotation by EXIF; errors as in `read_image`."""
    with _told(path):
        with open(path, "rb") as stream:
            size = _size_of_plain_png(stream.read(_PLAIN_PNG))
        if size:
            return size
        with _opened(path) as image:
            return image.height, image.width


def is_turned(path: Path) -> bool:
    """Whether EXIF turns or mirrors an image, which many programs ignore; errors as in `read_image`."""
    with _told(path), _opened(path) as image:
        return "exif" in image.info and _orientation(image) in _TO_UPRIGHT


def read_map(path: Path, *, bits: int) -> np.ndarray:
    """A PNG whose pixels are numbers, not colours: uint8 (grey or palette indices) or uint16, H x W.

    Refuses files that would decode to other numbers than were written: lossy formats, grey of fewer bits (which Pillow
    stretches), wrong checksums.

    Raises:
        DatasetDMError: missing, damaged, incomplete, not a PNG, in colour, or not of depth `bits`.
    """
    with _told(path):
        data = path.read_bytes()
        depth, colour_type = _png_header(path, data)
        palette = colour_type == _PALETTE and bits == 8
        if not palette and (colour_type, depth) != (_GREY, bits):
            raise DatasetDMError(
                f"{path} is not a {bits}-bit map of one number per pixel ({_kind_of_png(depth, colour_type)}): export "
                f"the annotation as {bits}-bit {'grey or indexed' if bits == 8 else 'grey'} PNG."
            )
        return np.array(_checked_png(data), dtype=np.uint8 if bits == 8 else np.uint16)


def read_colours(path: Path) -> np.ndarray:
    """The exact colours of an 8-bit RGB or palette PNG, uint8 H x W x 3, without alpha.

    Raises:
        DatasetDMError: missing, damaged, incomplete, not a PNG, grey, or 16 bits deep.
    """
    with _told(path):
        data = path.read_bytes()
        depth, colour_type = _png_header(path, data)
        if colour_type != _PALETTE and (colour_type not in (_RGB, _RGBA) or depth != 8):
            raise DatasetDMError(f"{path} has no 8-bit colours ({_kind_of_png(depth, colour_type)}).")
        return np.array(_checked_png(data).convert("RGB"))


def is_colour_png(path: Path) -> bool:
    """Whether a file is an RGB or RGBA PNG, neither grey nor with a palette; False if it cannot be read."""
    try:
        with path.open("rb") as stream:
            header = stream.read(_COLOUR_TYPE_AT + 1)
    except OSError:
        return False
    return header.startswith(_PNG) and header[_COLOUR_TYPE_AT:] in (bytes([_RGB]), bytes([_RGBA]))


def read_palette(path: Path) -> np.ndarray | None:
    """The colours of a palette PNG by index, uint8 N x 3; None for other PNGs.

    Raises:
        DatasetDMError: missing, damaged, or not a PNG.
    """
    with _told(path):
        data = path.read_bytes()
        _, colour_type = _png_header(path, data)
        if colour_type != _PALETTE:
            return None
        return np.array(_checked_png(data).getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        image = Image.open(path, formats=PHOTO_FORMATS)
    except Image.UnidentifiedImageError:
        with path.open("rb") as stream:
            start = stream.read(64)
        if kind := _other_kind(start):
            raise DatasetDMError(
                f"{path} is {kind}, which cannot be read as an image. Replace it with the picture, as JPEG or PNG."
            ) from None
        raise
    with image:
        yield image


def _other_kind(start: bytes) -> str:
    """The kind of a file with these first bytes, if it is a known kind that we do not read; else an empty text."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    boxed = _BOXED_KINDS.get(start[8:12]) if start[4:8] == b"ftyp" else None
    named = (kind for begin, kind in _OTHER_KINDS.items() if text.lower().startswith(begin.lower()))
    return f"an {boxed} file" if boxed else next(named, "")


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, rotated by its EXIF orientation. A broken EXIF block is ignored."""
    image.info.pop("xmp", None)  # Pillow would rotate a TIFF by it; the TIFF's own tag still counts
    image.load()  # in a PNG, EXIF may come last
    method = _TO_UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how to turn the image; 1, not at all, if it has none or a broken one."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _png_header(path: Path, data: bytes) -> tuple[int, int]:
    """Bits per channel and colour type."""
    kind = "a JPEG file" if data.startswith(b"\xff\xd8\xff") else _other_kind(data[:64])
    if kind:
        raise DatasetDMError(f"{path} is {kind}, not a PNG. A map of numbers has to be a PNG: export it as one.")
    if not data.startswith(_PNG):
        raise DatasetDMError(f"{path} is not a PNG by content. A map of numbers has to be a PNG. {REMEDY}")
    return data[_BIT_DEPTH_AT], data[_COLOUR_TYPE_AT]


def _size_of_plain_png(start: bytes) -> tuple[int, int] | None:
    """(height, width) of a PNG whose pixels follow its header, as we write them; None if Pillow has to look.

    Pillow reads the same bytes, and asks the same of them, in fifteen times the time: a large set has 80 000 files.
    """
    header, following = start[12:29], start[37:41]
    if not start.startswith(_PNG + b"\0\0\0\x0dIHDR") or following != b"IDAT":
        return None
    width, height, depth, colour_type, *methods = struct.unpack(">IIBBBBB", header[4:])
    plain = (colour_type, depth) in ((_GREY, 8), (_GREY, 16), (_RGB, 8)) and not any(methods)
    whole = zlib.crc32(header) == int.from_bytes(start[29:33], "big")
    return (height, width) if plain and whole and 0 < width * height <= _SURELY_READ else None


def _kind_of_png(depth: int, colour_type: int) -> str:
    names = {_GREY: "grey", _RGB: "RGB colours", _PALETTE: "a palette", 4: "grey with alpha", _RGBA: "RGBA colours"}
    return f"it has {names.get(colour_type, f'PNG colour type {colour_type}')}, {depth} bits"


def _checked_png(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()  # checksums, which decoding alone does not check
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    image.load()
    return image


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into an error that the user can act on."""
    try:
        yield
    except FileNotFoundError:
        state = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "is missing"
        raise DatasetDMError(f"{path} {state}. Put the file there, or take it off the list that names it.") from None
    except PermissionError:
        raise DatasetDMError(f"{path} may not be read: change its permissions.") from None
    except Image.DecompressionBombError as error:
        raise DatasetDMError(f"{path} is too large ({error}). Shrink it first.") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetDMError(f"{path} cannot be read as an image ({reason}). {REMEDY}") from None


def checked_images(images: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """Check images for `predict` and return them as a list.

    Args:
        images: uint8, H x W x 3 each, RGB, of any sizes.

    Raises:
        DatasetDMError: an item is something else, such as a path, or `images` is a single image.
    """
    for image in images:
        array = isinstance(image, np.ndarray)
        if array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            continue
        given = f"{image.dtype} of shape {image.shape}" if array else type(image).__name__
        raise DatasetDMError(
            f"predict() takes a list of images, each an array of uint8, H x W x 3, RGB; this list contains {given}. "
            "Put a single image into a list. Read a file with datasetdm.utils.images.read_image(path)."
        )
    return list(images)
