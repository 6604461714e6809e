"""The command that says whether a benchmark can run."""

import argparse
from typing import Any

from datasetdm.cli.options import BENCHMARK, add_command, require_project
from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "validate",
        _validate,
        help="check settings, data, weights, device and disk in seconds, before anything runs",
        description="Check the settings, the device, the weights, the data and the disk of a benchmark, or of all, and "
        "name all problems at once. No image is opened; nothing is downloaded or written.",
        benchmark=False,
        as_json=False,
    )
    parser.add_argument("benchmark", nargs="?", help=f"{BENCHMARK} (default: all)")


def _validate(options: argparse.Namespace) -> None:
    require_project()
    params = load_params(study=options.study)
    from datasetdm.pipeline.validate import validate

    problems = []
    for name in [options.benchmark] if options.benchmark else list(params.benchmarks):
        found = validate(name, study=options.study)
        if found.lines:
            print(f"{name}: {'; '.join(found.lines)}")
        for warning in found.warnings:
            print(f"{name}: warning: {warning}")
        problems += [f"{name}: {problem}" for problem in found.problems]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DatasetDMError("\n  ".join([f"{count}:", *problems]))
    print("Everything that can be checked beforehand is in place.")
