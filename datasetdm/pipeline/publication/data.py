"""The published data: an `imagefolder` of the `datasets` library, with the provenance of every image.

metadata.jsonl is `train/metadata.jsonl`; a line is an image with its annotation
train/images/000/   images, at most `PER_FOLDER` in each folder, as the Hub wants it
train/mask/000/     annotations that are pictures; the folder has the name of their column
manifest.parquet    every image that was drawn, also the rejected ones, and all it takes to draw it again
categories.json     label, id and name of the categories
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.datasets.exporting.contents import Item
from datasetdm.pipeline.publication.annotations import Annotations
from datasetdm.pipeline.publication.provenance import provenance_texts
from datasetdm.pipeline.publication.snapshot import cleaned, without_own_paths
from datasetdm.tasks.base import Task
from datasetdm.utils.files import write_bytes, write_image, write_json, write_text
from datasetdm.utils.png_text import with_texts

PER_FOLDER = 5_000  # the Hub takes up to 10 000
METADATA, MANIFEST, CATEGORIES = "train/metadata.jsonl", "manifest.parquet", "categories.json"
_KEPT = ("prompt", "prompt_id", "prompt_kind", "seed", "generator_seed")


def published_manifest(manifest: pd.DataFrame, decoder: str) -> pd.DataFrame:
    """The rows of one decoder; a model or LoRA that lies somewhere on this machine is known by its name alone."""
    rows = manifest[manifest["decoder"] == decoder].reset_index(drop=True)
    if "loras" in rows:
        rows["loras"] = [text and json.dumps(cleaned(json.loads(text))) for text in rows["loras"]]
    return rows.assign(model_path=rows["model_path"].map(without_own_paths))


def plain_rows(manifest: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows as dictionaries, where a gap is None, as JSON has it."""
    return manifest.astype(object).where(manifest.notna(), None).to_dict("records")


def write_data(
    folder: Path,
    manifest: pd.DataFrame,
    annotations: Annotations,
    task: Task,
    *,
    scores: list[str],
    **origin: str,
) -> None:
    """Write the accepted images with their annotations.

    Args:
        folder: of the data set.
        manifest: see `published_manifest`.
        annotations: of the accepted images.
        task: what is annotated.
        scores: columns of the manifest that say how sure the P-Decoder was.
        origin: `benchmark` and `software`, for the provenance.
    """
    rows = {row["image"]: row for row in plain_rows(manifest[manifest["accepted"]])}
    lines = []
    for position, item in enumerate(annotations.items()):
        part, row = f"{position // PER_FOLDER:03d}", rows[item.path.name]
        picture = with_texts(item.path.read_bytes(), provenance_texts(row, **origin))
        write_bytes(folder / "train/images" / part / item.name, picture)
        annotation = _annotation(folder / "train", part, item, annotations)
        lines.append(json.dumps(_line(part, item, row, annotation, scores), ensure_ascii=False))
    write_text(folder / METADATA, "".join(f"{line}\n" for line in lines))
    manifest.to_parquet(folder / MANIFEST, index=False)
    categories = [{"label": label, **asdict(category)} for label, category in enumerate(task.categories)]
    write_json(folder / CATEGORIES, categories)


def _annotation(folder: Path, part: str, item: Item, annotations: Annotations) -> dict[str, Any]:
    """The columns of the annotation; `imagefolder` makes a picture of what `<name>_file_name` names."""
    if not annotations.are_maps:
        return {annotations.column: annotations.objects(item)}
    place = f"{annotations.column}/{part}/{item.stem}.png"
    write_image(folder / place, annotations.export.map_of(item))
    return {f"{annotations.column}_file_name": place}


def _line(
    part: str, item: Item, row: Mapping[Any, Any], annotation: Mapping[str, Any], scores: Sequence[str]
) -> dict[str, Any]:
    """A line of the metadata; `file_name` is what `imagefolder` looks for."""
    return {
        "file_name": f"images/{part}/{item.name}",
        **annotation,
        "image_name": item.name,  # `image` will be the picture itself
        **{key: row[key] for key in _KEPT},
        "prompt_categories": list(filter(None, str(row["prompt_categories"]).split(";"))),
        **{key: row[key] for key in scores},
    }
