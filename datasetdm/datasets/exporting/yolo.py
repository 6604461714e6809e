"""YOLO as ultralytics reads it: `images/<split>/`, `labels/<split>/*.txt` with a line per object, `data.yaml`."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from datasetdm.annotations.persons import KEYPOINTS, MIRRORED
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import Record, labels_by_id, mask_of, records_of, without_crowds
from datasetdm.datasets.exporting.polygons import joined, polygons_of
from datasetdm.utils.files import write_text

Line = Callable[[Record, tuple[int, int], Export], Iterable[str]]


def write_yolo(export: Export, folder: Path) -> None:
    """Outlines, or boxes with keypoints."""
    line, description = {"instance": (_outline, {}), "pose": (_pose, _KEYPOINTS)}[export.contents.task]
    _write(export, folder, line, description)


def write_yolo_boxes(export: Export, folder: Path) -> None:
    """Boxes alone."""
    _write(export, folder, _box, {})


def _write(export: Export, folder: Path, line: Line, description: dict[str, Any]) -> None:
    label_of = labels_by_id(export.categories)
    for split in export.splits:
        for item in export.items(split):
            export.place(item, folder / "images" / split)
            lines = [
                f"{label_of[record['category_id']]} {' '.join(line(record, item.size, export))}\n"
                for record in without_crowds(export, records_of(export, item))
            ]
            target = folder / "labels" / split / f"{item.stem}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(lines), encoding="ascii")
    first = f"images/{export.splits[0]}"
    # ultralytics asks for both; without a validation set it then measures on the images that it has learnt.
    splits: dict[str, str] = {"train": first, "val": first, **{split: f"images/{split}" for split in export.splits}}
    names = {label: category.name for label, category in enumerate(export.categories)}
    content = {**splits, **description, "nc": len(names), "names": names}
    # PyYAML, as ultralytics has it, reads `yes` as true: it also puts such names into quotes.
    write_text(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _outline(record: Record, size: tuple[int, int], export: Export) -> Iterable[str]:
    """x, y, x, y, ... of one polygon: the format has no more for an object."""
    polygons = polygons_of(mask_of(record))
    if len(polygons) > 1:
        export.lose("masks in several parts: joined to one outline by seams")
    x, y = joined(sorted(polygons, key=len, reverse=True)).T.tolist()
    across, down = _fractions(size[1]), _fractions(size[0])
    return chain.from_iterable((across[one], down[other]) for one, other in zip(x, y, strict=True))


@lru_cache(maxsize=64)
def _fractions(side: int) -> list[str]:
    """Each whole number of pixels as a fraction of a side; outlines have thousands of them."""
    return [_short(pixels / side) for pixels in range(side + 1)]


def _box(record: Record, size: tuple[int, int], export: Export) -> Iterable[str]:
    """The box as `_centred` has it."""
    return map(_short, _centred(record, size))


def _centred(record: Record, size: tuple[int, int]) -> np.ndarray:
    """Centre x, y, width, height as fractions; what reaches out of the image is cut off."""
    x, y, width, height = record["bbox"]
    corners = np.array([[x, y], [x + width, y + height]]).clip(0, size[::-1]) / size[::-1]
    return np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])


def _pose(record: Record, size: tuple[int, int], export: Export) -> Iterable[str]:
    """The box, and x, y, visibility of each keypoint."""
    points = np.array(record["keypoints"], dtype=float).reshape(-1, 3)
    points[:, :2] = points[:, :2].clip(0, size[::-1]) / size[::-1]
    return map(_short, [*_centred(record, size), *points.ravel()])


_KEYPOINTS: dict[str, Any] = {
    "kpt_shape": [len(KEYPOINTS), 3],
    "flip_idx": list(MIRRORED),
    "kpt_names": {0: list(KEYPOINTS)},
}


def _short(value: float) -> str:
    """Up to six decimals: a hundredth of a pixel in an image of 10 000."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
