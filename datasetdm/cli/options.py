"""What several commands share: their options, and a look at the folder before the slow imports."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError

if TYPE_CHECKING:  # takes seconds to import
    from datasetdm.pipeline.context import Context

HOME = "DATASETDM_HOME"
BENCHMARK = "a key of `benchmarks` in params.yaml"


def add_command(
    commands: Any,
    name: str,
    run: Any,
    *,
    help: str,
    description: str | None = None,
    benchmark: bool = True,
    study: bool = True,
    as_json: bool = True,
    **defaults: Any,
) -> argparse.ArgumentParser:
    """A command.

    Args:
        commands: what it is added to.
        name: what a person types.
        run: gets the parsed options.
        help: a line in the list of commands.
        description: what its own help says; None: the line.
        benchmark: it takes the name of one benchmark.
        study: it takes `--study`.
        as_json: it can print its result as JSON.
        defaults: further values of its options.
    """
    description = description or f"{help[0].upper()}{help[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description)
    if benchmark:
        parser.add_argument("benchmark", help=BENCHMARK)
    if study:
        parser.add_argument("--study", action="store_true", help="at study size (the block `study`), in data/study")
    if as_json:
        parser.add_argument(
            "--json", action="store_true", help="print the result as JSON; progress goes to standard error"
        )
    parser.set_defaults(command=run, **defaults)
    return parser


def positive(text: str) -> int:
    """The value of an option that is a whole number above 0."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return int(text)


def go_to_project(folder: str | None) -> None:
    """Make the project's folder the current one, so that a command can be called from anywhere.

    Args:
        folder: given on the command line; None: `DATASETDM_HOME`, else the current folder stays.

    Raises:
        DatasetDMError: it is no project.
    """
    chosen, name = (folder, "--project") if folder else (os.environ.get(HOME), HOME)
    if not chosen:
        return
    if not (Path(chosen) / "params.yaml").is_file():
        raise DatasetDMError(f"{name} is {chosen}, which is not a project's root folder: it has no params.yaml.")
    os.chdir(chosen)


def require_project() -> None:
    """Refuse a folder without `params.yaml` before the slow imports.

    Mistakes in the settings themselves are reported later, all at once.

    Raises:
        DatasetDMError: the current folder is not a project's root; it says where that is, if it can be found.
    """
    if not Path("params.yaml").exists():
        load_params()


def open_published(benchmark: str, *, study: bool) -> "Context":
    """A benchmark whose published sets are about to be read: images that DVC has brought as archives are unpacked."""
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.engine.run import restore_output
    from datasetdm.pipeline.stages import STAGES

    context = open_context(benchmark, study=study)
    for stage in STAGES.values():
        restore_output(stage, context)
    return context
