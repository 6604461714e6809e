"""Reading image files as the rest of the field does."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from datasetdm.errors import DatasetDMError

# What Pillow's decoders raise on damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
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
