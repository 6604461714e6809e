"""Hugging Face's imagefolder: `<split>/images/`, and `<split>/metadata.jsonl` with a line per image.

Semantic maps are 8-bit PNG of labels in `<split>/masks/` (255: nothing known), depth is 16-bit PNG in `<split>/depth/`,
in the unit that `datasetdm_export.json` says (0: nothing known). A line names them as `mask_file_name` and
`depth_file_name`, which `datasets` turns into a second image.
"""

import json
from pathlib import Path

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.datasets.exporting.contents import Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.rows import Row, facts_of, map_name, row_of
from datasetdm.utils.files import write_image, write_text

_FOLDERS = {"mask": "masks", "depth": "depth"}


def write_imagefolder(export: Export, folder: Path) -> None:
    """Images, maps, and the table."""
    kind = map_name(export)
    for split in export.splits:
        place = folder / split
        place.mkdir()
        with (place / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
            for item in export.items(split):
                export.place(item, place / "images")
                row = {"file_name": f"images/{item.name}"} | row_of(export, item) | facts_of(item)
                if kind is not None:
                    row |= _write_map(export, item, place, kind)
                stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    names = [category.name for category in export.categories]
    if names[:1] == [BACKGROUND]:
        write_text(folder / "classes.txt", "".join(f"{name}\n" for name in names))


def _write_map(export: Export, item: Item, place: Path, kind: str) -> Row:
    name = f"{_FOLDERS[kind]}/{item.stem}.png"
    write_image(place / name, export.map_of(item))
    return {f"{kind}_file_name": name}
