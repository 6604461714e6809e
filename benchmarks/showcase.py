"""The picture at the top of README: prompts, the images generated from them, and the masks predicted for them.

    python -m benchmarks.showcase data/synthetic/coco docs/images/prompt-image-mask.png \
        --images 000010.png 000064.png 000070.png 000031.png 000061.png 000007.png

It reads an instance segmentation set that `synthesize` wrote. Without `--images` it picks accepted images at random.
"""

import argparse
import random
import textwrap
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pycocotools.coco import COCO

from datasetdm.utils.images import read_image

COLUMNS = 6
CELL = 2.0  # inches
DPI = 100
OPACITY = 0.45
ROWS = ("prompt", "generated image", "predicted masks")
COLOURS = ("#ff2fb9", "#00c8ff", "#ffb000", "#00e060")  # none of them is common in the embedded world
PALETTE = 256  # colours of the PNG, which halves its size


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a synthetic set, such as data/synthetic/coco")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--images", nargs="+", help=f"file names of the images to show; default: {COLUMNS} at random")
    parser.add_argument("--decoder", default="seed_0", help="whose masks to show: a file name in annotations/")
    arguments = parser.parse_args()
    manifest = pd.read_parquet(arguments.folder / "manifest.parquet")
    accepted = manifest[(manifest.decoder == arguments.decoder) & manifest.accepted]
    prompts = dict(zip(accepted.image, accepted.prompt, strict=True))
    names = arguments.images or random.Random(0).sample(sorted(prompts), COLUMNS)
    annotations = COCO(arguments.folder / "annotations" / f"{arguments.decoder}.json")
    show([(name, prompts[name]) for name in names], annotations, arguments.folder / "images", arguments.out)


def show(prompts: Sequence[tuple[str, str]], annotations: COCO, images: Path, out: Path) -> None:
    """Write a picture with a column per image.

    Args:
        prompts: file name and prompt of each image.
        annotations: objects of these images.
        images: folder of the images.
        out: the PNG to write.
    """
    figure = Figure(figsize=(CELL * len(prompts), 2.4 * CELL), layout="constrained")
    axes = figure.subplots(len(ROWS), len(prompts), height_ratios=(0.35, 1, 1), squeeze=False)
    ids = {record["file_name"]: number for number, record in annotations.imgs.items()}
    for cell in axes.flat:
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    for cell, title in zip(axes[:, 0], ROWS, strict=True):
        cell.set_ylabel(title, fontsize=10)
    for (text, plain, overlay), (name, prompt) in zip(axes.T, prompts, strict=True):
        text.text(0.5, 0.5, textwrap.fill(prompt, 24), ha="center", va="center", fontsize=10)
        image = read_image(images / name)
        for cell in (plain, overlay):
            cell.imshow(image, interpolation="bicubic")
        for record, colour in zip(annotations.imgToAnns[ids[name]], cycle(COLOURS), strict=False):
            label = annotations.cats[record["category_id"]]["name"]
            draw_mask(overlay, annotations.annToMask(record), label, colour)
    save(figure, out)


def draw_mask(axes: Axes, mask: np.ndarray, label: str, colour: str) -> None:
    """A mask (H x W of 0 and 1) as a transparent area with an outline and a label above it."""
    axes.contourf(mask, levels=[0.5, 1.5], colors=[colour], alpha=OPACITY)
    axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1)
    rows, columns = np.nonzero(mask)
    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
    axes.text(columns.min(), max(rows.min(), 10), label, fontsize=8, color="black", va="bottom", bbox=box, clip_on=True)


def save(figure: Figure, out: Path) -> None:
    """Write the figure as a PNG with few colours."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(PALETTE, method=Image.Quantize.MEDIANCUT).save(out, optimize=True)


if __name__ == "__main__":
    main()
