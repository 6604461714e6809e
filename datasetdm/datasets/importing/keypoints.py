"""Keypoints in COCO's order, the only one that the pose benchmarks know."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.datasets.importing.findings import Findings

_ENOUGH = 5  # keypoints in common, below which it is another skeleton


@dataclass(frozen=True)
class KeypointOrder:
    """Where each of COCO's keypoints stands in an export's list.

    Attributes:
        positions: for each of `KEYPOINTS` its place in the export; None if the export does not have it.
        count: keypoints of the export.
        dimensions: numbers per keypoint: 3 (x, y, visibility) or 2.
    """

    positions: tuple[int | None, ...]
    count: int
    dimensions: int = 3

    @classmethod
    def of(cls, category: Mapping[str, Any], file: Path, findings: Findings) -> Self:
        """The order of a COCO category's `keypoints`."""
        return cls.named([str(name) for name in category["keypoints"]], file, findings)

    @classmethod
    def named(cls, names: Sequence[str], file: Path, findings: Findings) -> Self:
        """The order in which these names stand; `left_eye`, `Left Eye` and `leftEye` are the same."""
        place = {_plain(name): position for position, name in enumerate(names)}
        positions = tuple(place.get(_plain(name)) for name in KEYPOINTS)
        known = sum(position is not None for position in positions)
        if known < _ENOUGH:
            findings.problem(
                f"{file} has the keypoints {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}. The project "
                "trains poses of people with COCO's 17 keypoints (nose, left_eye, ..., right_ankle): rename those "
                "that are the same, or import the boxes or masks alone with --task instance."
            )
        elif known < len(names):
            strangers = [name for name in names if _plain(name) not in {*map(_plain, KEYPOINTS)}]
            findings.odd("keypoints are not among COCO's 17: left out", ", ".join(strangers), count=len(strangers))
        if _ENOUGH <= known < len(KEYPOINTS):
            absent = [name for name, position in zip(KEYPOINTS, positions, strict=True) if position is None]
            findings.odd("of COCO's keypoints are never labelled", ", ".join(absent), count=len(absent))
        return cls(positions=positions, count=len(names))

    def sorted(self, values: Any, where: str, findings: Findings) -> list[float] | None:
        """An export's list of numbers as COCO's 51; None with a finding if it is not such a list."""
        if values in (None, []):
            return None
        size = self.count * self.dimensions
        if not isinstance(values, list) or len(values) != size or not all(type(v) in (int, float) for v in values):
            findings.odd(f"objects do not have {size} numbers as keypoints: taken without", where)
            return None
        found: list[float] = []
        for position in self.positions:
            point = [0, 0, 0] if position is None else values[position * self.dimensions :][: self.dimensions]
            if len(point) == 2:  # without a visibility, 0, 0 says that it is not labelled
                point = [*point, 2 if any(point) else 0]
            found += point
        return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
