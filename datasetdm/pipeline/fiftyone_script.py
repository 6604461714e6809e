"""Show a set in FiftyOne (https://docs.voxel51.com): `python fiftyone_script.py description.json`, until Ctrl-C.

FiftyOne and MLflow need different versions of the same libraries. So this runs in a process that may belong to another
environment, and imports nothing of the project. `fiftyone_view` writes the description:

name       the benchmark; the app's title begins with it
reader     `coco`, `masks` or `depth`
images     folder of the images
labels     COCO JSON, or folder of the maps
names      names of the labels
ignored    value of pixels without a label
units      numbers per metre of depth maps
columns    name -> image -> what is known of it
address    where the app listens
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import fiftyone
import numpy as np
from PIL import Image


def main() -> None:
    """Show what the file on the command line describes."""
    description = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    dataset = make_dataset(description)
    print(f"{len(dataset)} images of {description['images']}; Ctrl-C ends FiftyOne.", flush=True)
    with suppress(KeyboardInterrupt):
        fiftyone.launch_app(dataset, address=description["address"]).wait(-1)


def make_dataset(description: dict[str, Any]) -> Any:
    """The set as a dataset that FiftyOne forgets when it ends."""
    dataset = READERS[description["reader"]](description)
    dataset.name = f"{description['name']} {dataset.name}"  # FiftyOne's own is the time, which no other set has
    if dataset.has_field("ground_truth"):  # FiftyOne's default, but a P-Decoder is no ground truth
        dataset.rename_sample_field("ground_truth", "labels")
    names = [Path(path).name for path in dataset.values("filepath")]
    for column, values in description["columns"].items():
        dataset.set_values(column, [values[name] for name in names])
    _show_labels(dataset)
    return dataset


def _show_labels(dataset: Any) -> None:
    """The app opens with all labels, in a colour per category; by default it hides maps, and one colour is for all."""
    fields = [name for name, field in dataset.get_field_schema().items() if _is_label(field)]
    dataset.app_config.active_fields = fiftyone.ActiveFields(paths=fields)
    dataset.app_config.color_scheme = fiftyone.ColorScheme(color_by="value")
    dataset.save()


def _is_label(field: Any) -> bool:
    return issubclass(getattr(field, "document_type", None) or object, fiftyone.Label)


def _coco(description: dict[str, Any]) -> Any:
    return fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.COCODetectionDataset,
        data_path=description["images"],
        labels_path=description["labels"],
        label_types=description["label_types"],
    )


def _masks(description: dict[str, Any]) -> Any:
    dataset = fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.ImageSegmentationDirectory,
        data_path=description["images"],
        labels_path=description["labels"],
    )
    dataset.default_mask_targets = dict(enumerate(description["names"])) | {description["ignored"]: "(no label)"}
    return dataset


def _depth(description: dict[str, Any]) -> Any:
    dataset = fiftyone.Dataset()
    for image in sorted(Path(description["images"]).iterdir()):
        path = Path(description["labels"], f"{image.stem}.png")
        if not path.is_file():  # an image that the P-Decoder of another seed accepts
            continue
        with Image.open(path) as picture:  # noqa: TID251, as nothing of the project is there
            depth = np.array(picture, dtype=np.float32) / description["units"]
        sample = fiftyone.Sample(filepath=str(image))
        sample["depth"] = fiftyone.Heatmap(map=depth, range=[0.0, float(depth.max()) or 1.0])
        dataset.add_sample(sample)
    return dataset


READERS = {"coco": _coco, "masks": _masks, "depth": _depth}

if __name__ == "__main__":
    main()
