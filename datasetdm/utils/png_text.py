"""Texts inside PNG files, added without touching a pixel: https://www.w3.org/TR/png-3/#11textinfo."""

import zlib
from collections.abc import Mapping

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER_HEADER = 33  # the signature and the chunk IHDR, which is always first and always as long
XMP = "XML:com.adobe.xmp"  # the keyword under which readers look for XMP


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """The same PNG with texts in front of its pixels; all other bytes stay as they are.

    Args:
        png: the content of a PNG file.
        texts: keyword (1 to 79 letters of Latin-1) -> text, in any alphabet. Those that the file has already stay.

    Raises:
        ValueError: it is no PNG, or a keyword is too long or empty.
    """
    if not (png.startswith(_SIGNATURE) and png[12:16] == b"IHDR"):
        raise ValueError("not a PNG file")
    chunks = b"".join(_international_text(keyword, text) for keyword, text in texts.items())
    return png[:_AFTER_HEADER] + chunks + png[_AFTER_HEADER:]


def _international_text(keyword: str, text: str) -> bytes:
    """A chunk iTXt, not compressed, without language."""
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= 79:
        raise ValueError(f"the keyword {keyword!r} has to have 1 to 79 letters")
    return _chunk(b"iTXt", name + b"\0\0\0\0\0" + text.encode())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
