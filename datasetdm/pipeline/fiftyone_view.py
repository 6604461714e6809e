"""The synthetic set in FiftyOne, which the user installs into an environment that is not the project's.

Each standard format is opened by the reader that FiftyOne has for it. An image also gets what the manifest says of it.
"""

import os
import subprocess
import sys
import tempfile
from functools import singledispatch
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.standard.depth_png import depth_units
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
from datasetdm.utils.files import write_json

ADDRESS = "127.0.0.1"
PYTHON = "DATASETDM_FIFTYONE"  # environment variable: the Python of the environment that FiftyOne is in
PATIENCE = 10.0  # seconds for FiftyOne to end by itself
SCRIPT = Path(__file__).with_name("fiftyone_script.py")


def open_in_fiftyone(context: Context) -> None:
    """Open the synthetic set of the first seed, until the user stops it with Ctrl-C.

    Raises:
        DatasetDMError: FiftyOne is not installed or does not start, or there is no synthetic set yet.
    """
    python = os.environ.get(PYTHON) or sys.executable
    _check_installed(python)
    description = describe_for_fiftyone(context)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "description.json"
        write_json(file, description)
        status = _run_until_stopped([python, str(SCRIPT), str(file)])
    if status:
        raise DatasetDMError(f"FiftyOne ended with status {status}; it says why above. {_remedy()}")


def _run_until_stopped(command: list[str]) -> int:
    """The exit status; 0 where the user stopped it, which is how FiftyOne ends."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(PATIENCE)  # Ctrl-C reaches FiftyOne, too
            except subprocess.TimeoutExpired:  # but the signal to end this command does not
                process.terminate()
            return 0


def describe_for_fiftyone(context: Context) -> dict[str, Any]:
    """What `fiftyone_script` shows: the accepted images of the first seed; errors as in `open_in_fiftyone`."""
    root, subset = context.paths.synthetic.resolve(), subset_of(context.seeds[0])
    if not annotation_file(root, subset).exists():
        raise missing(context, context.paths.synthetic, "synthesize")
    manifest = read_manifest(context, context.paths.synthetic)
    rows = manifest[(manifest["decoder"] == subset) & manifest["accepted"]].set_index("image")
    names = ["prompt", "prompt_id", "seed", *scores_of(context.settings.task.name)]
    return {
        "name": context.benchmark,
        "images": str(root / "images"),
        "labels": str(root / "maps" / subset),
        "columns": {name: rows[name].to_dict() for name in names if name in rows},
        "address": ADDRESS,
        **_reader(standard_format(*context.task().kind), annotation_file(root, subset), context.settings.task),
    }


def _check_installed(python: str) -> None:
    looked = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('fiftyone') is None)"]
    try:
        found = subprocess.run(looked, check=False, capture_output=True).returncode == 0
    except OSError:
        found = False
    if not found:
        raise DatasetDMError(f"FiftyOne is not installed for {python}. {_remedy()}")


def _remedy() -> str:
    return (
        "Install FiftyOne into a separate environment, as it needs other versions of some libraries than MLflow: "
        "`python -m venv fiftyone`, then `fiftyone/bin/pip install fiftyone pycocotools`. Name its Python, "
        f"fiftyone/bin/python, in {PYTHON}, for example in .env. Or look at the report instead: `python -m "
        "datasetdm view <benchmark>` says where it is."
    )


@singledispatch
def _reader(files: StandardFormat, annotations: Path, settings: config.TaskSettings) -> dict[str, Any]:
    """How FiftyOne reads the files of a format."""
    raise DatasetDMError(f"FiftyOne has no reader for the files of {type(files).__name__}: look at the report instead.")


@_reader.register
def _instances(files: InstanceFormat, annotations: Path, settings: config.TaskSettings) -> dict[str, Any]:
    return {"reader": "coco", "labels": str(annotations), "label_types": ["segmentations"]}


@_reader.register
def _persons(files: PersonFormat, annotations: Path, settings: config.TaskSettings) -> dict[str, Any]:
    return {"reader": "coco", "labels": str(annotations), "label_types": ["segmentations", "keypoints"]}


@_reader.register
def _semantic(files: SemanticFormat, annotations: Path, settings: config.TaskSettings) -> dict[str, Any]:
    return {"reader": "masks", "names": [category.name for category in files.categories], "ignored": IGNORE}


@_reader.register
def _depth(files: DepthFormat, annotations: Path, settings: config.DepthAnnotation) -> dict[str, Any]:
    return {"reader": "depth", "units": depth_units(settings.max_depth)}
