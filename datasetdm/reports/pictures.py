"""Many pictures on one contact sheet."""

from collections.abc import Sequence

import numpy as np

from datasetdm.reports.paint import LETTERING, lettering, write

GAP = 6
WIDEST = 1280  # pixels, unless a single picture is wider
WHITE = 255


def contact_sheet(pictures: Sequence[np.ndarray], captions: Sequence[str] = ()) -> np.ndarray:
    """Pictures (uint8 H x W x 3, any size) in rows, none of them scaled, so that their lettering stays as it is.

    Args:
        pictures: at least one.
        captions: a line below each picture, cut where it is longer than the picture is wide; none by default.

    Raises:
        ValueError: `pictures` is empty.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    line = LETTERING + 8 if captions else 0
    width = max(picture.shape[1] for picture in pictures)
    columns = min(len(pictures), max(1, (WIDEST - GAP) // (width + GAP)))
    rows = [range(start, min(start + columns, len(pictures))) for start in range(0, len(pictures), columns)]
    heights = [max(pictures[number].shape[0] for number in row) + line for row in rows]
    sheet = np.full((sum(heights) + GAP * (len(rows) + 1), columns * (width + GAP) + GAP, 3), WHITE, np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, number in enumerate(row):
            left, picture = GAP + column * (width + GAP), pictures[number]
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            if captions and captions[number]:
                strip = sheet[top + picture.shape[0] : top + picture.shape[0] + line, left : left + width]
                write(strip, _shortened(captions[number], width), (0, line))
        top += height + GAP
    return sheet


def _shortened(text: str, width: int) -> str:
    """The text, cut so that it takes at most `width` pixels."""
    if lettering().getlength(text) + 6 <= width:
        return text
    while text and lettering().getlength(f"{text}…") + 6 > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
