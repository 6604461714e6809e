"""Reading image files as the rest of the field does."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from datasetdm.errors import DatasetDMError

# What Pillow's decoders raise on damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
_PNG = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH_AT, _COLOUR_TYPE_AT = 24, 25  # in the header chunk
_GREY, _PALETTE = 0, 3
_LARGEST_SIDE = 2**15 - 2  # pixels; OpenCV's warps count in 16 bits
REMEDY = "It is damaged or half downloaded: fetch it again, or take it out of the annotation file."


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 H x W x 3, RGB.

    As OpenCV (and with it mmdet) does it: the EXIF orientation is applied, grey, palette and CMYK images become
    RGB, an alpha channel is dropped, 16-bit grey keeps its upper 8 bits, of an animation the first frame is read.

    Raises:
        DatasetDMError: the file is missing, damaged, cut off, far too large, or no image.
    """
    try:
        with Image.open(path) as image:
            if max(image.size) > _LARGEST_SIDE:
                raise Image.DecompressionBombError(f"a side has more than {_LARGEST_SIDE} pixels")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            if upright.mode in ("I", "F"):
                raise ValueError("32-bit grey has no range of brightness to go by")
            # A copy, because some arrays over Pillow's memory cannot be written to.
            return np.array(upright.convert("RGB"))
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing: the annotation file lists it. {REMEDY}") from None
    except Image.DecompressionBombError as error:
        raise DatasetDMError(f"{path} is too large to be trusted ({error}). Shrink it first.") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetDMError(f"{path} cannot be read as an image ({reason}). {REMEDY}") from None


def read_map(path: Path, *, bits: int) -> np.ndarray:
    """A PNG whose pixels are numbers and no colours, uint8 (grey or palette indices) or uint16, H x W.

    Refused is what decodes, but to other numbers than were written: formats that blur, grey of fewer bits (which
    Pillow stretches), data whose check sums are wrong.

    Raises:
        DatasetDMError: missing, damaged, cut off, no PNG, in colour, or of another depth than `bits`.
    """
    try:
        data = path.read_bytes()
        if not data.startswith(_PNG):
            raise DatasetDMError(f"{path} is no PNG inside, which a map of numbers has to be. {REMEDY}")
        depth, colour_type = data[_BIT_DEPTH_AT], data[_COLOUR_TYPE_AT]
        palette = colour_type == _PALETTE and bits == 8
        if not palette and (colour_type, depth) != (_GREY, bits):
            raise DatasetDMError(
                f"{path} is no {bits}-bit map of one number per pixel (it has {depth} bits, PNG colour type "
                f"{colour_type}): put the original annotation in its place."
            )
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # check sums, which decoding alone does not look at
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image, dtype=np.uint8 if bits == 8 else np.uint16)
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing: the annotation file lists it. {REMEDY}") from None
    except Image.DecompressionBombError as error:
        raise DatasetDMError(f"{path} is too large to be trusted ({error}). Shrink it first.") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetDMError(f"{path} cannot be read as an image ({reason}). {REMEDY}") from None
