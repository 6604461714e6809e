"""Index masks and depth maps: whether each can be read, and is of its image's size."""

from dataclasses import replace
from typing import Any

import numpy as np

from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.importing.contents import Contents, Picture
from datasetdm.datasets.importing.depth_maps import Unit, read_numbers
from datasetdm.datasets.importing.files import look_at
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.index_masks import NAMES_REMEDY, MaskReader
from datasetdm.datasets.native.index_png import UnknownValues
from datasetdm.errors import DatasetDMError


def check_masks(contents: Contents, findings: Findings) -> Contents:
    """The pictures whose index mask can be used; `details["reader"]` reads them again."""
    if contents.details["legend"] is None:
        return contents
    masks = [picture.annotation for picture in contents.pictures if picture.annotation is not None]
    reader = MaskReader.of(contents.details["legend"], masks)
    if reader.binary:
        findings.odd("masks have the values 0 and 255 alone: 255 is taken as the one category", "", count=len(masks))
    kept, unknown, seen = [], set(), set()
    for picture in contents.pictures:
        assert picture.annotation is not None
        try:
            labels = reader.read(picture.annotation)
        except UnknownValues as error:
            unknown |= set(error.values)
            findings.odd("masks have values that stand for no category: left out", picture.name, lost="image")
            continue
        except DatasetDMError as error:
            findings.odd(f"masks cannot be used: left out; the first: {_short(error)}", picture.name, lost="image")
            continue
        if _same_size(picture, labels, findings):
            seen |= set(np.unique(labels).tolist())
            kept.append(picture)
    if unknown:
        some = ", ".join(sorted(unknown, key=lambda text: (len(text), text))[:8])
        findings.problem(f"The masks have the values {some}, which no category has. {NAMES_REMEDY}")
    if kept and seen <= {0, IGNORE}:
        findings.problem(f"The masks of {contents.root} show nothing but background (0) and border (255).")
    return replace(contents, pictures=tuple(kept), details={**contents.details, "reader": reader})


def check_depth(contents: Contents, findings: Findings) -> Contents:
    """The pictures whose depth map can be used; `details["farthest"]` is what nearly no pixel exceeds, in metres."""
    unit: Unit = contents.details["unit"]
    kept: list[Picture] = []
    farthest: list[float] = []
    for picture in contents.pictures:
        assert picture.annotation is not None
        try:
            values = read_numbers(picture.annotation)
        except DatasetDMError as error:
            findings.odd(f"depth maps cannot be used: left out; the first: {_short(error)}", picture.name, lost="image")
            continue
        known = values[np.isfinite(values) & (values > 0)]
        if not known.size:
            findings.odd("depth maps hold no depth: left out", picture.name, lost="image")
        elif _same_size(picture, values, findings):
            farthest.append(float(np.percentile(known, 99.9)) / unit.per_metre)
            kept.append(picture)
    details: dict[str, Any] = {**contents.details, "farthest": max(farthest, default=0.0)}
    return replace(contents, pictures=tuple(kept), details=details)


def _same_size(picture: Picture, values: np.ndarray, findings: Findings) -> bool:
    size = look_at(picture.file).size
    if size == values.shape:
        return True
    assert size is not None
    findings.odd(
        "maps have another size than their image: left out",
        f"{picture.name}: {size[1]} x {size[0]}, map {values.shape[1]} x {values.shape[0]}",
        lost="image",
    )
    return False


def _short(error: DatasetDMError) -> str:
    text = str(error)
    return text if len(text) <= 200 else text[:197] + "..."
