"""Commands on prompts: a look at them before they are all written."""

import argparse
from typing import Any

from datasetdm.cli.options import add_command, positive, require_project
from datasetdm.cli.tables import print_text


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    prompts = commands.add_parser("prompts", help="look at prompts", description="Look at prompts.")
    prompts.set_defaults(command=lambda options: prompts.print_help())
    actions = prompts.add_subparsers(metavar="action", title="actions")
    preview = add_command(
        actions,
        "preview",
        _preview,
        help="show some prompts, what was rejected and why, coverage, and expected cost",
        as_json=False,
    )
    preview.add_argument("--n", type=positive, default=20, help="prompts to show (default: 20)")


def _preview(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.prompt_preview import preview

    print_text(preview(open_context(options.benchmark, study=options.study), options.n))
