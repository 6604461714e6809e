"""What `datasetdm predict` writes: the annotation of each image as soon as it is found, and the whole at the end.

A run that was interrupted leaves its records in `.partial.jsonl`. The next run with the same model and threshold takes
the images that are left.
"""

import base64
import json
import shutil
from collections.abc import Sequence
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINT_SCORE, KEYPOINTS, SKELETON, Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.errors import DatasetDMError
from datasetdm.reports.overlays import SIDE, overlay
from datasetdm.reports.pictures import WIDEST
from datasetdm.tracking.serving import DEPTH_UNITS, as_json
from datasetdm.utils.files import write_bytes, write_image, write_json, write_text

SUMMARY, PARTIAL, COCO = "predictions.json", ".partial.jsonl", "annotations.json"


class PredictionFiles:
    """The output folder of one run.

    Args:
        folder: where everything goes.
        categories: of the model, in label order.
        identity: what the results depend on: model and threshold. Records of another one are not continued.
        overlays: whether to paint the annotation over each image.

    Raises:
        DatasetDMError: the folder holds something else than an earlier prediction.
    """

    def __init__(
        self, folder: Path, categories: Sequence[Category], identity: dict[str, Any], *, overlays: bool = True
    ) -> None:
        ours = any((folder / name).exists() for name in (SUMMARY, PARTIAL))
        if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise DatasetDMError(f"{folder} holds other files: name a new folder with --out.")
        self.folder, self.categories, self.overlays = folder, tuple(categories), overlays
        self._identity = identity
        self._records: dict[str, dict[str, Any]] = self._interrupted()
        if not self._records:
            self._start_over()

    def is_done(self, name: str, digest: str) -> bool:
        """Whether an interrupted run has annotated this image (of these bytes) already."""
        return self._records.get(name, {}).get("sha256") == digest

    def add(self, name: str, digest: str, image: np.ndarray, found: Any) -> None:
        """Write the annotation of an image.

        Args:
            name: of the image, below the folder that was annotated.
            digest: of the image file.
            image: uint8 H x W x 3.
            found: its annotation.
        """
        height, width = image.shape[:2]
        record = {"file_name": name, "height": height, "width": width, "sha256": digest, **self._store(found, name)}
        if self.overlays:
            side = int(np.clip(max(image.shape[:2]), SIDE, WIDEST))
            write_image(self.folder / "overlays" / f"{name}.png", overlay(found, image, self.categories, side=side))
        with (self.folder / PARTIAL).open("a", encoding="ascii") as stream:
            stream.write(json.dumps(record) + "\n")
        self._records[name] = record

    def finish(self, names: Sequence[str], unreadable: dict[str, str]) -> None:
        """Write the files about all images, in the order of `names`, and `predictions.json` last."""
        records = [self._records[name] for name in names if name in self._records]
        images = [
            {"id": number, **{key: record[key] for key in ("file_name", "height", "width")}}
            for number, record in enumerate(records, 1)
        ]
        if any("annotations" in record for record in records):
            annotations = [
                {"image_id": number, **annotation}
                for number, record in enumerate(records, 1)
                for annotation in record["annotations"]
            ]
            self._write_coco(images, [{"id": number, **item} for number, item in enumerate(annotations, 1)], records)
        maps = [{"file_name": r["file_name"], "map": r["map"]} for r in records if "map" in r]
        summary = {
            **self._identity,
            "categories": [
                {"value": label, "id": category.id, "name": category.name}
                for label, category in enumerate(self.categories)
            ],
            "images": len(records),
            "unreadable": unreadable,
            **({"maps": maps} if maps else {}),
            **({"units_per_metre": DEPTH_UNITS} if any(r.get("map", "").startswith("depth/") for r in records) else {}),
        }
        write_json(self.folder / SUMMARY, summary)
        (self.folder / PARTIAL).unlink(missing_ok=True)

    @singledispatchmethod
    def _store(self, found: Any, name: str) -> dict[str, Any]:
        return as_json(found, self.categories)

    @_store.register
    def _(self, found: Instances, name: str) -> dict[str, Any]:
        records = as_json(found, self.categories)["objects"]
        for record in records:
            record |= {"iscrowd": 0, "area": int(coco_mask.area(record["segmentation"]))}
        return {"annotations": records}

    @_store.register
    def _(self, found: Persons, name: str) -> dict[str, Any]:
        """COCO's visibility is 2 for a keypoint that was found; its score stands apart."""
        answer = as_json(found, self.categories)
        for record in answer["persons"]:
            x, y, scores = record["keypoints"][0::3], record["keypoints"][1::3], record["keypoints"][2::3]
            seen = [score >= KEYPOINT_SCORE for score in scores]
            points = [(a, b, 2) if shown else (0, 0, 0) for a, b, shown in zip(x, y, seen, strict=True)]
            record |= {
                "keypoints": [number for point in points for number in point],
                "keypoint_scores": scores,
                "num_keypoints": sum(seen),
                "iscrowd": 0,
                "area": record["bbox"][2] * record["bbox"][3],
            }
        return {"annotations": answer["persons"], "keypoints": True}

    @_store.register
    def _(self, found: SemanticMap, name: str) -> dict[str, Any]:
        return self._store_map("masks", name, as_json(found, self.categories)["semantic_map"])

    @_store.register
    def _(self, found: DepthMap, name: str) -> dict[str, Any]:
        return self._store_map("depth", name, as_json(found, self.categories)["depth"])

    def _store_map(self, kind: str, name: str, png: str) -> dict[str, Any]:
        path = f"{kind}/{name}.png"
        write_bytes(self.folder / path, base64.b64decode(png))
        return {"map": path}

    def _write_coco(self, images: list[Any], annotations: list[Any], records: Sequence[dict[str, Any]]) -> None:
        poses = any(record.get("keypoints") for record in records)
        skeleton = {"keypoints": list(KEYPOINTS), "skeleton": [list(limb) for limb in SKELETON]} if poses else {}
        categories = [{"id": category.id, "name": category.name, **skeleton} for category in self.categories]
        content = {
            "info": {"description": "Predictions of DatasetDM", **self._identity},
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
        write_json(self.folder / COCO, content)

    def _interrupted(self) -> dict[str, dict[str, Any]]:
        """Records that an interrupted run of the same model has left, by image; the last line may be cut off."""
        try:
            first, *lines = (self.folder / PARTIAL).read_text(encoding="ascii").splitlines()
            if json.loads(first) != self._identity:
                return {}
        except (FileNotFoundError, ValueError):
            return {}
        records = {}
        for line in lines:
            try:
                record = json.loads(line)
                records[record["file_name"]] = record
            except (ValueError, KeyError, TypeError):
                break
        write_text(self.folder / PARTIAL, "".join(f"{line}\n" for line in (first, *map(json.dumps, records.values()))))
        return records

    def _start_over(self) -> None:
        """An empty folder: what an earlier run has written there goes."""
        for name in (SUMMARY, COCO):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("overlays", "masks", "depth"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / PARTIAL, json.dumps(self._identity) + "\n")
