"""`datasetdm predict`: annotate a folder of images with a trained model."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.predictor import Predictor
from datasetdm.datasets.importing.files import IMAGE_SUFFIXES, is_image, walk
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.prediction_files import PredictionFiles
from datasetdm.utils.files import read_json
from datasetdm.utils.images import read_image
from datasetdm.utils.progress import Progress


@dataclass(frozen=True)
class Predicted:
    """What a run did.

    Attributes:
        images: how many were annotated.
        objects: how many objects or persons were found; 0 for maps.
        continued: how many an interrupted run had annotated already.
        unreadable: the reason by name of those that could not be read.
    """

    images: int
    objects: int = 0
    continued: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def predict(
    source: Path,
    model: Predictor,
    out: Path,
    *,
    threshold: float = 0.3,
    overlays: bool = True,
    boxes: Mapping[str, Sequence[Sequence[float]]] | None = None,
    title: str = "",
) -> Predicted:
    """Annotate an image, or all images below a folder, in their own pixels (turned upright by EXIF).

    Args:
        source: the image or folder.
        model: a trained model.
        out: folder for the results; see `PredictionFiles`.
        threshold: objects and persons with a lower score are left out.
        overlays: whether to paint the annotation over each image.
        boxes: persons' boxes (x, y, width, height) by image name, for pose models; None: an image shows one person.
        title: what the model is called, for the results.

    Raises:
        DatasetDMError: no image at all, or none that can be read.
    """
    images = find_images(source, out)
    identity = {"model": title, "weights": fingerprint(model), "threshold": threshold}
    files = PredictionFiles(out, model.categories, identity, overlays=overlays)
    unreadable: dict[str, str] = {}
    progress, objects, continued = Progress(len(images), "images"), 0, 0
    for number, (name, file) in enumerate(images.items(), 1):
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if files.is_done(name, digest):
                continued += 1
                continue
            image = read_image(file)
        except (DatasetDMError, OSError) as error:
            unreadable[name] = str(error)
            continue
        found = _above(threshold, _annotated(model, image, None if boxes is None else boxes.get(name, ())))
        files.add(name, digest, image, found)
        objects += len(found) if isinstance(found, Instances | Persons) else 0
        progress.update(number)
    if len(unreadable) == len(images):
        reasons = " ".join(list(unreadable.values())[:3])
        raise DatasetDMError(f"None of the {len(images)} images in {source} can be read. {reasons}")
    files.finish(list(images), unreadable)
    return Predicted(len(images) - len(unreadable), objects, continued, unreadable)


def find_images(source: Path, out: Path) -> dict[str, Path]:
    """The image files of a folder by their path below it, without those in `out`; or the one file.

    Raises:
        DatasetDMError: there is none.
    """
    if source.is_file():
        return {source.name: source}
    if source.resolve().is_relative_to(out.resolve()):
        raise DatasetDMError(f"The results cannot go to {out}, which holds the images: name another folder with --out.")
    files = (file for file in walk(source) if is_image(file) and not file.resolve().is_relative_to(out.resolve()))
    found = {file.relative_to(source).as_posix(): file for file in files}
    if not found:
        state = "has no image" if source.is_dir() else "does not exist"
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise DatasetDMError(f"{source} {state}. Name a folder with images ({kinds}), or one image.")
    return found


def read_boxes(file: Path) -> dict[str, list[list[float]]]:
    """Boxes by image name, of a COCO file.

    Raises:
        DatasetDMError: it is none.
    """
    remedy = "Give COCO JSON with the persons' boxes: `images` with `file_name`, and `annotations` with `bbox`."
    content = read_json(file, remedy=remedy)
    try:
        names = {record["id"]: str(record["file_name"]) for record in content["images"]}
        boxes: dict[str, list[list[float]]] = {name: [] for name in names.values()}
        for record in content["annotations"]:
            x, y, width, height = map(float, record["bbox"])
            boxes[names[record["image_id"]]].append([x, y, width, height])
    except (KeyError, TypeError, ValueError):
        raise DatasetDMError(f"{file} is not in COCO's format. {remedy}") from None
    return boxes


def fingerprint(model: Predictor) -> str:
    """A digest of a model's weights: the frozen diffusion model of a P-Decoder aside, which it is bound to."""
    digest = hashlib.sha256()
    for name in ("network", "decoder"):
        module = getattr(model, name, None)
        if isinstance(module, torch.nn.Module):
            for key, value in sorted(module.state_dict().items()):
                digest.update(key.encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _annotated(model: Predictor, image: np.ndarray, boxes: Sequence[Sequence[float]] | None) -> Any:
    (found,) = model.predict([image], None if boxes is None else [np.array(boxes, dtype=np.float32).reshape(-1, 4)])
    return found


def _above(threshold: float, found: Any) -> Any:
    """The objects whose score reaches the threshold; maps stay as they are."""
    return found.select(found.scores >= threshold) if isinstance(found, Instances | Persons) else found
