"""Parquet as Hugging Face's `datasets` writes it: `data/<split>-00000-of-00003.parquet`, with the images inside.

The schema's metadata says which columns are images and what labels are called, so that `load_dataset` gives pictures
and names. pyarrow alone writes it.
"""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.datasets.exporting.contents import Split
from datasetdm.datasets.exporting.exporting import Export, png_bytes
from datasetdm.datasets.exporting.rows import Row, map_name, row_of

SHARD = 5000  # images of a file
GROUP = 100  # images of a row group, which is what memory holds

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_NAMES = {pa.float64(): "float64"}  # Arrow calls it double
_TYPES: dict[type, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def write_parquet(export: Export, folder: Path) -> None:
    """A row per image."""
    schema = schema_of(export)
    (folder / "data").mkdir()
    for split in export.splits:
        shards = max(1, math.ceil(export.contents.count(split) / SHARD))
        rows = _rows(export, split)
        for number in range(shards):
            # What is left goes into the last one.
            part = islice(rows, SHARD) if number < shards - 1 else rows
            _write_shard(folder / "data" / f"{split}-{number:05d}-of-{shards:05d}.parquet", part, schema)


def _write_shard(file: Path, rows: Iterator[Row], schema: pa.Schema) -> None:
    with pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _rows(export: Export, split: Split) -> Iterator[Row]:
    kind = map_name(export)
    for item in export.items(split):
        row = {"image": {"bytes": export.image_bytes(item), "path": item.name}}
        if kind is not None:
            row[kind] = {"bytes": png_bytes(export.map_of(item)), "path": f"{item.stem}.png"}
        facts = {name: item.columns.get(name) for name in export.contents.columns}
        yield row | row_of(export, item) | facts


def schema_of(export: Export) -> pa.Schema:
    """The columns, and what `datasets` has to know of them."""
    kind = map_name(export)
    images = ["image", *([kind] if kind else [])]
    whole = ("image_id", "width", "height")
    texts = ("caption", "benchmark", "set", "license")
    fields = [
        *((name, _IMAGE) for name in images),
        *((name, pa.int64()) for name in whole),
        *((name, pa.string()) for name in texts),
        *((name, _TYPES.get(kind_of, pa.string())) for name, kind_of in export.contents.columns.items()),
    ]
    objects = _OBJECTS.get(export.contents.task, [])
    if objects:
        fields.append(("objects", pa.struct([(name, pa.list_(of)) for name, of in objects])))
    schema = pa.schema(fields)
    named = {"objects": {"category": {"names": [c.name for c in export.categories], "_type": "ClassLabel"}}}
    features = {field.name: _feature(field.type, named.get(field.name, {})) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)})


def _feature(of: pa.DataType, known: dict[str, Any]) -> dict[str, Any]:
    """A type as `datasets` describes it; `known` has the features of some fields of a struct."""
    if of == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(of):
        return {field.name: _listed(field, known) for field in of}
    if pa.types.is_list(of):
        return {"feature": _feature(of.value_type, {}), "_type": "List"}
    if pa.types.is_fixed_size_list(of):
        return {"feature": _feature(of.value_type, {}), "length": of.list_size, "_type": "List"}
    return {"dtype": _NAMES.get(of, str(of)), "_type": "Value"}


def _listed(field: pa.Field, known: dict[str, Any]) -> dict[str, Any]:
    if field.name in known:
        return {"feature": known[field.name], "_type": "List"}
    return _feature(field.type, {})


_RUNS = pa.struct([("size", pa.list_(pa.int64(), 2)), ("counts", pa.string())])
_INSTANCES = [
    ("category", pa.int64()),
    ("category_id", pa.int64()),
    ("bbox", pa.list_(pa.float64(), 4)),
    ("area", pa.float64()),
    ("iscrowd", pa.int64()),
    ("score", pa.float64()),
    ("segmentation", _RUNS),
]
_POSES = [
    *_INSTANCES,
    ("keypoints", pa.list_(pa.list_(pa.float64(), 3), len(KEYPOINTS))),
    ("num_keypoints", pa.int64()),
]
_OBJECTS: dict[str, list[tuple[str, pa.DataType]]] = {"instance": _INSTANCES, "pose": _POSES}
