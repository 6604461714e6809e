"""The synthetic set in FiftyOne (https://docs.voxel51.com), which the user installs.

Each standard format is opened by the reader that FiftyOne has for it. A sample also gets what the manifest says of it.
"""

from functools import singledispatch
from importlib import import_module
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.formats import (
    DepthFormat,
    InstanceFormat,
    PersonFormat,
    SemanticFormat,
    StandardFormat,
    standard_format,
)
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.rounds.shard import subset_of
from datasetdm.pipeline.stages.synthesize import read_manifest
from datasetdm.task_parts import scores_of
from datasetdm.utils.progress import say

ADDRESS = "127.0.0.1"


def open_in_fiftyone(context: Context) -> None:
    """Open the synthetic set of the first seed, until the user stops it.

    Raises:
        DatasetDMError: FiftyOne is not installed, or there is no synthetic set yet.
    """
    fiftyone = _fiftyone()
    dataset = make_dataset(context, fiftyone)
    say(f"{len(dataset)} images of {context.paths.synthetic}; Ctrl-C ends FiftyOne.")
    fiftyone.launch_app(dataset, address=ADDRESS).wait(-1)


def make_dataset(context: Context, fiftyone: Any) -> Any:
    """The accepted images of the first seed as a FiftyOne dataset that is not kept; errors as in `open_in_fiftyone`."""
    root, subset = context.paths.synthetic.resolve(), subset_of(context.seeds[0])
    if not annotation_file(root, subset).exists():
        raise missing(context, context.paths.synthetic, "synthesize")
    dataset = _dataset(standard_format(*context.task().kind), fiftyone, root, subset)
    manifest = read_manifest(context, context.paths.synthetic)
    rows = {row["image"]: row for row in manifest[manifest["decoder"] == subset].to_dict("records")}
    columns = ["prompt", "prompt_id", "seed", *scores_of(context.settings.task.name)]
    of_samples = [rows[Path(path).name] for path in dataset.values("filepath")]
    for column in columns:
        if column in manifest:
            dataset.set_values(column, [row[column] for row in of_samples])
    return dataset


def _fiftyone() -> Any:
    try:
        return import_module("fiftyone")
    except ImportError:
        raise DatasetDMError(
            "FiftyOne is not installed. Install it into the project's environment with `pip install fiftyone`, or "
            "look at the report instead: `python -m datasetdm view <benchmark>` says where it is."
        ) from None


@singledispatch
def _dataset(files: StandardFormat, fiftyone: Any, root: Path, subset: str) -> Any:
    """The set as a FiftyOne dataset."""
    raise DatasetDMError(f"FiftyOne has no reader for the files of {type(files).__name__}: look at the report instead.")


@_dataset.register
def _instances(files: InstanceFormat, fiftyone: Any, root: Path, subset: str) -> Any:
    return _coco(fiftyone, root, subset, ["segmentations"])


@_dataset.register
def _persons(files: PersonFormat, fiftyone: Any, root: Path, subset: str) -> Any:
    return _coco(fiftyone, root, subset, ["segmentations", "keypoints"])


def _coco(fiftyone: Any, root: Path, subset: str, label_types: list[str]) -> Any:
    return fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.COCODetectionDataset,
        data_path=str(root / "images"),
        labels_path=str(annotation_file(root, subset)),
        label_types=label_types,
    )


@_dataset.register
def _semantic(files: SemanticFormat, fiftyone: Any, root: Path, subset: str) -> Any:
    dataset = fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.ImageSegmentationDirectory,
        data_path=str(root / "images"),
        labels_path=str(root / "maps" / subset),
    )
    dataset.default_mask_targets = {label: category.name for label, category in enumerate(files.categories)}
    return dataset


@_dataset.register
def _depth(files: DepthFormat, fiftyone: Any, root: Path, subset: str) -> Any:
    dataset = fiftyone.Dataset()
    for sample in files.load(root, subset):
        found = fiftyone.Sample(filepath=str(root / "images" / sample.name))
        depth = sample.target.depth
        found["depth"] = fiftyone.Heatmap(map=depth, range=[0.0, float(depth.max()) or 1.0])
        dataset.add_sample(found)
    return dataset
