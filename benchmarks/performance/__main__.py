"""How fast we are, next to a stated reference that runs on the same machine at the same time.

    make bench
    python -m benchmarks.performance generation ingest
    python -m benchmarks.performance publish --images 80000

Run it on an idle machine. The figures go to benchmarks/results/performance/cpu.json, or gpu.json where there is a GPU;
measurements that a run leaves out stay as they are.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.backbone.command import markdown
from benchmarks.made_with import KEY, describe_run
from benchmarks.performance import decoder_training, downstream_training, generation, ingest, publish
from benchmarks.performance.measurement import Measurement
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.progress import print_progress

MEASUREMENTS: dict[str, Callable[..., Measurement]] = {
    "generation": generation.measure,
    "decoder_training": decoder_training.measure,
    "downstream_training": downstream_training.measure,
    "ingest": ingest.measure,
    "publish": publish.measure,
}
RESULTS = Path("benchmarks/results/performance")


def main() -> None:
    """Measure, print a table, add the figures to the file."""
    arguments = parse_arguments()
    print_progress()
    arguments.data.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{arguments.data.absolute()}/mlflow.db"  # not the project's runs
    file = RESULTS / ("gpu.json" if torch.cuda.is_available() else "cpu.json")
    found = read_json(file, remedy="Remove it.") if file.exists() else {}
    options = {name: value for name, value in (("images", arguments.images), ("dtype", arguments.dtype)) if value}
    for name in arguments.measurements or MEASUREMENTS:
        measured = MEASUREMENTS[name](arguments.data / name, **options)
        found[name] = measured.to_dict() | {KEY: describe_run()}
        write_json(file, found)
    header = ["", "ours", "reference", "unit", "ratio"]
    print(markdown(header, [[name, *(row[key] for key in header[1:])] for name, row in found.items()]), flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", help="all of them if none is named")
    parser.add_argument("--images", type=int, help="how many, for one measurement that counts images")
    parser.add_argument("--dtype", help="of the diffusion model, for one measurement that uses it")
    parser.add_argument("--data", type=Path, default=Path("data/performance"), help="where test data lie, or are made")
    arguments = parser.parse_args()
    if unknown := sorted({*arguments.measurements} - {*MEASUREMENTS}):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    return arguments


if __name__ == "__main__":
    main()
