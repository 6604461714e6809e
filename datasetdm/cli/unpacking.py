"""The command for sets that DVC has brought from elsewhere."""

import argparse
from typing import Any

from datasetdm.cli.options import add_command, open_published, require_project


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    add_command(
        commands,
        "unpack",
        _unpack,
        help="unpack the images of a benchmark's sets after `dvc pull`; the stages do it by themselves",
        description="DVC tracks the generated, pseudo-labelled and spliced images as archives. After `dvc pull` or "
        "`dvc checkout` this unpacks them into images/, where they are missing or of another version.",
        as_json=False,
    )


def _unpack(options: argparse.Namespace) -> None:
    require_project()
    open_published(options.benchmark, study=options.study)
