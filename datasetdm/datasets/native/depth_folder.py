"""Depth of any camera, as `datasetdm import` writes it: images and 16-bit PNG, whose unit is written down.

`images/`, `depth/<name of the image without suffix>.png`, and `depth.json`:

    {"units_per_metre": 1000.0, "category": "kitchen", "train": [{"image": "a.jpg", "group": "video_1"}], "val": [...]}
"""

from pathlib import Path
from typing import Any, Literal

from datasetdm.annotations.sample import Category
from datasetdm.datasets.native.listing import Finder, require, require_files
from datasetdm.datasets.split import Entry, FileSplit
from datasetdm.datasets.standard.depth_png import Sensor, read_depth
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json
from datasetdm.utils.paths import check_name

LIST_FILE = "depth.json"
_REMEDY = "`datasetdm import` writes this layout; import the data again."
_ANY_DISTANCE = float("inf")  # the camera is unknown, so that no distance is ruled out


def open_depth_folder(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split; depth is read when a sample is asked for. The one category is what all images show.

    Raises:
        DatasetDMError: files that are missing or broken, names that lead out of their folder.
    """
    file = root / LIST_FILE
    require([root, file, root / "images", root / "depth"], _REMEDY)
    content = read_json(file, remedy=_REMEDY)
    try:
        sensor = Sensor(units_per_metre=float(content["units_per_metre"]), farthest=_ANY_DISTANCE, common=0.0)
        category = Category(id=1, name=str(content["category"]))
        records = [(str(record["image"]), str(record.get("group", ""))) for record in content[split]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DatasetDMError(
            f"{file} has to hold 'units_per_metre', 'category' and lists 'train' and 'val' of images. {_REMEDY}"
        ) from None
    if sensor.units_per_metre <= 0:
        raise DatasetDMError(f"{file}: 'units_per_metre' has to be above 0. {_REMEDY}")
    finder = Finder()
    entries = [_entry(root, name, group, finder, file) for name, group in records]
    require_files(entries, file, _REMEDY)
    return FileSplit(
        file,
        [category],
        entries,
        read_target=lambda entry: read_depth(entry.annotation, sensor),
        labels_of=lambda _: (0,),
    )


def as_list(units_per_metre: float, category: str, **images: list[dict[str, str]]) -> dict[str, Any]:
    """The content of `depth.json`."""
    return {"units_per_metre": units_per_metre, "category": category, **images}


def _entry(root: Path, name: str, group: str, finder: Finder, file: Path) -> Entry:
    check_name(name, where=str(file))
    image = finder.file(root / "images", name)
    return Entry(
        name=image.name, image=image, annotation=finder.file(root / "depth", f"{Path(name).stem}.png"), group=group
    )
