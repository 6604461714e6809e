"""docs/extending.md, "An export format": a table of boxes in CSV, as object detection tutorials have it."""

import csv
from pathlib import Path

from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import records_of, without_crowds

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


def write_box_table(export: Export, folder: Path) -> None:
    """`<split>/` with the images, and `<split>.csv` with a line per object."""
    names = {category.id: category.name for category in export.categories}
    for split in export.splits:
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(COLUMNS)
            for item in export.items(split):
                export.place(item, folder / split)
                for record in without_crowds(export, records_of(export, item)):
                    x, y, width, height = record["bbox"]
                    corners = (x, y, x + width, y + height)
                    table.writerow([item.name, *item.size[::-1], names[record["category_id"]], *corners])
