"""COCO JSON: https://cocodataset.org/#format-data.

`images/<split>/`, `annotations/instances_<split>.json` (`person_keypoints_<split>.json` for poses), and the captions in
`annotations/captions_<split>.json`, too.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasetdm.datasets.exporting.contents import Item, Split
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import Record, category_records, image_record_of, mask_of, records_of
from datasetdm.datasets.exporting.polygons import polygons_of
from datasetdm.datasets.standard.attribution import WRITTEN_HERE, AttributionWriter
from datasetdm.datasets.standard.coco_writing import VERSION, writing_coco

_KINDS = {"instance": "instances", "pose": "person_keypoints"}


def write_coco(export: Export, folder: Path) -> None:
    """Masks as RLE, which holds every mask."""
    _write(export, folder, lambda record: record)


def write_coco_polygons(export: Export, folder: Path) -> None:
    """Masks as polygons; crowd regions stay RLE, as COCO has it."""
    _write(export, folder, _with_polygons)


def _write(export: Export, folder: Path, change: Callable[[Record], Record]) -> None:
    for split in export.splits:
        origins, names = AttributionWriter(), folder / "annotations"
        kind = _KINDS[export.contents.task]
        captioned = []
        with writing_coco(
            names / f"{kind}_{split}.json", _info(export, split), origins, category_records(export)
        ) as add:
            for item in export.items(split):
                export.place(item, folder / "images" / split)
                image = _image(export, item) | origins.record(item.attribution)
                add(image, map(change, records_of(export, item)))
                if item.caption:
                    captioned.append((image, item.caption))
        if captioned:
            _write_captions(export, split, captioned, names / f"captions_{split}.json", origins)


def _write_captions(
    export: Export, split: Split, captioned: Iterable[tuple[Record, str]], file: Path, origins: AttributionWriter
) -> None:
    """The same images with captions as their annotations, in COCO's captions format."""
    with writing_coco(file, _info(export, split), origins, None) as add:
        for image, caption in captioned:
            add(image, [{"image_id": image["id"], "caption": caption}])


def _info(export: Export, split: Split) -> dict[str, Any]:
    today = datetime.now(UTC)
    return {
        "description": f"{export.contents.description}, {split}; {WRITTEN_HERE}",
        "url": "",
        "version": VERSION,
        "year": today.year,
        "contributor": "DatasetDM",
        "date_created": today.strftime("%Y/%m/%d"),
    }


def _image(export: Export, item: Item) -> Record:
    height, width = item.size
    record: Record = {"id": item.id, "file_name": item.name, "width": width, "height": height}
    if item.caption:
        record["caption"] = item.caption
    return record | image_record_of(export, item) | {"set": item.set, "benchmark": item.benchmark} | dict(item.columns)


def _with_polygons(record: Record) -> Record:
    if record["iscrowd"]:
        return record
    polygons = polygons_of(mask_of(record))
    return record | {"segmentation": [polygon.ravel().tolist() for polygon in polygons]}
