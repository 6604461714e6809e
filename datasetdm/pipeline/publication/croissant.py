"""Croissant metadata of a published set: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from datasetdm.pipeline.publication.annotations import Annotations
from datasetdm.pipeline.publication.data import METADATA
from datasetdm.pipeline.publication.release import Release
from datasetdm.utils.digests import file_digest

#: What is said of every object; masks stay in the metadata, as Croissant has no type for run lengths.
_OBJECTS = {
    "category": "sc:Text",
    "category_id": "sc:Integer",
    "bbox": "sc:Float",
    "area": "sc:Float",
    "score": "sc:Float",
}
RECORDS, LINES = "images_with_annotations", "metadata"
# The context that the specification prescribes (section "Appendix 1").
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(release: Release, annotations: Annotations, folder: Path, day: date) -> dict[str, Any]:
    """The content of `croissant.json`.

    Args:
        release: what is published.
        annotations: of its images.
        folder: of the data set, which is written already.
        day: of the publication.
    """
    authors = release.context.settings.publication.authors or ("unknown",)
    pictures = [annotations.column] if annotations.are_maps else []
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": release.title,
        "description": f"{len(release.accepted)} synthetic images with annotations of the task "
        f"{release.context.settings.task.name}, drawn by a diffusion model and annotated by a P-Decoder (DatasetDM). "
        "Nothing was photographed, and no label was drawn by a person.",
        "license": str(release.licences.data),
        "url": release.url or "unknown",
        "creator": [{"@type": "sc:Person", "name": name} for name in authors],
        "datePublished": day.isoformat(),
        "version": "1.0.0",
        "keywords": ["synthetic", "datasetdm", release.context.settings.task.name],
        "citeAs": "Wu et al., DatasetDM: Synthesizing Data with Perception Annotations Using Diffusion Models, NeurIPS "
        "2023, arXiv:2308.06160",
        "rai:dataCollection": "Drawn by a text-to-image model from written prompts.",
        "rai:dataAnnotationProtocol": "Labels are predictions of a model that learnt from a few labelled images; those "
        "that a filter rejected are left out.",
        "distribution": [_lines(folder), _pngs("images"), *map(_pngs, pictures)],
        "recordSet": [_images(release, annotations), *map(_annotation_pictures, pictures)],
    }


def _lines(folder: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": LINES,
        "name": Path(METADATA).name,
        "description": "A line of JSON per image.",
        "contentUrl": METADATA,
        "contentSize": f"{(folder / METADATA).stat().st_size} B",
        "encodingFormat": "application/jsonlines",
        "sha256": file_digest(folder / METADATA).hex(),
    }


def _pngs(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": "PNG files.",
        "encodingFormat": "image/png",
        "includes": f"train/{name}/*/*.png",
    }


def _images(release: Release, annotations: Annotations) -> dict[str, Any]:
    """The lines of the metadata, each with its image, and its objects as parallel lists."""
    texts = ["prompt", "prompt_kind"]
    objects = {} if annotations.are_maps else _OBJECTS
    integers = ["prompt_id", "seed", "generator_seed"]
    name = {
        **_field(RECORDS, "image_name", "sc:Text", _column("image_name")),
        "references": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "filename"}},
    }
    return _record_set(
        RECORDS,
        "Every image with its prompt, seeds, scores and objects.",
        [
            name,
            _field(RECORDS, "image", "sc:ImageObject", _content("images")),
            *(_field(RECORDS, column, "sc:Text", _column(column)) for column in texts),
            *(_field(RECORDS, column, "sc:Integer", _column(column)) for column in integers),
            *(_field(RECORDS, column, "sc:Float", _column(column)) for column in release.scores),
            *(_object_field(annotations.column, key, kind) for key, kind in objects.items()),
        ],
    )


def _object_field(column: str, key: str, kind: str) -> dict[str, Any]:
    """One of the parallel lists of the objects of an image."""
    source = _column(column) | {"transform": {"jsonPath": f"$.{key}"}}
    return {**_field(RECORDS, f"object_{key}", kind, source), "repeated": True}


def _annotation_pictures(name: str) -> dict[str, Any]:
    """The annotations of images whose annotation is a picture, by the file name of the image."""
    source = {"fileSet": {"@id": name}, "extract": {"fileProperty": "filename"}}
    fields = [_field(name + "s", "file_name", "sc:Text", source)]
    fields.append(_field(name + "s", name, "sc:ImageObject", _content(name)))
    return _record_set(name + "s", f"The {name} of every image.", fields)


def _record_set(name: str, description: str, fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": fields[0]["@id"]},
        "field": list(fields),
    }


def _field(records: str, name: str, kind: str, source: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, "dataType": kind, "source": source}


def _column(name: str) -> dict[str, Any]:
    return {"fileObject": {"@id": LINES}, "extract": {"column": name}}


def _content(files: str) -> dict[str, Any]:
    return {"fileSet": {"@id": files}, "extract": {"fileProperty": "content"}}
