"""SVG that is readable on light and dark pages: it brings its own ground, and follows the reader's setting."""

import base64
import io
from html import escape
from typing import Any

import numpy as np
from PIL import Image

STYLE = """
  svg { --ground: #ffffff; --ink: #1f2933; --soft: #52606d; --line: #7b8794; --box: #e6f4f1; --edge: #0f766e }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #1e2129; --ink: #e4e7eb; --soft: #b3bcc7; --line: #8d99a6; --box: #17403c; --edge: #5eead4 }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink) }
  .soft { fill: var(--soft); font-size: 12px } .mid { text-anchor: middle } .bold { font-weight: 600 }
  .ground { fill: var(--ground) } .box { fill: var(--box); stroke: var(--edge); stroke-width: 1.5 }
  .line { stroke: var(--line); stroke-width: 1.6; fill: none } .head { fill: var(--line) }
  .pixels { image-rendering: pixelated }
"""


def document(width: int, height: int, title: str, *parts: str) -> str:
    """A whole drawing; `title` is what a screen reader says."""
    arrow = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title, quote=True)}">\n<style>{STYLE}</style><defs>{arrow}</defs>\n'
        f'<rect class="ground" width="{width}" height="{height}" rx="6"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, content: str, kind: str = "") -> str:
    """A line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(content)}</text>'


def arrow(*points: tuple[float, float]) -> str:
    """A line with a head at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline class="line" points="{path}" marker-end="url(#head)"/>'


def box(x: float, y: float, width: float, height: float, title: str, *lines: str) -> str:
    """A box with a title and lines below it, centred."""
    middle = x + width / 2
    top = y + height / 2 + 4 - 8 * len(lines)
    parts = [f'<rect class="box" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>']
    parts.append(text(middle, top, title, "mid bold"))
    parts += [text(middle, top + 17 * number, line, "mid soft") for number, line in enumerate(lines, 1)]
    return "\n".join(parts)


def picture(x: float, y: float, side: float, image: np.ndarray) -> str:
    """A square image (uint8, H x W x 3) with its pixels as they are, kept in the drawing itself."""
    return _image(x, y, side, side, image, "pixels", "PNG", optimize=True)


def photograph(x: float, y: float, width: float, height: float, image: np.ndarray) -> str:
    """A photograph (uint8, H x W x 3), kept in the drawing itself."""
    return _image(x, y, width, height, image, "", "JPEG", quality=85)


def _image(
    x: float, y: float, width: float, height: float, image: np.ndarray, kind: str, file_type: str, **options: Any
) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, file_type, **options)
    data = f"data:image/{file_type.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{kind}" href="{data}"/>'
