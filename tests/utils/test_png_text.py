"""Texts in PNG files leave pixels as they are, and other readers find them."""

import io

import numpy as np
import pytest
from PIL import Image

from datasetdm.utils.png_text import XMP, with_texts


@pytest.mark.parametrize(("shape", "dtype"), [((7, 300, 3), np.uint8), ((41, 23), np.uint8), ((5, 9), np.uint16)])
def test_texts_in_any_alphabet_are_read_back(shape: tuple[int, ...], dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    texts = {"Description": "ein Hund läuft, 犬 & <cat>", "Software": "x", XMP: "<x/>"}
    changed = with_texts(buffer.getvalue(), texts)
    with Image.open(io.BytesIO(changed)) as picture:
        picture.verify()  # checksums
    with Image.open(io.BytesIO(changed)) as picture:
        np.testing.assert_array_equal(np.array(picture, dtype=dtype), pixels)
        assert {name: picture.text[name] for name in ("Description", "Software")} == {
            name: texts[name] for name in ("Description", "Software")
        }
        assert picture.info["xmp"] == b"<x/>"
    assert with_texts(buffer.getvalue(), {}) == buffer.getvalue()


def test_what_is_no_png_is_refused() -> None:
    with pytest.raises(ValueError, match="PNG"):
        with_texts(b"\xff\xd8\xff", {})
    with pytest.raises(ValueError, match="79 letters"):
        with_texts(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17), {"": "x"})
