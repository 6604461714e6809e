"""Commands that show what was found: the comparison's table, the diagnosis, the leaderboard."""

import argparse
from typing import Any

from datasetdm.cli.options import add_command, add_study, require_project
from datasetdm.config import load_params


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    add_command(commands, "show", _show, help="print the results table of the last comparison")
    diagnosis = add_command(
        commands, "diagnose", _diagnose, help="say whether more synthetic images are worth making, or what is"
    )
    diagnosis.add_argument(
        "--minutes-per-label", type=float, default=10.0, help="a person's time for one labelled image (default: 10)"
    )
    board = commands.add_parser("leaderboard", help="print all benchmarks that were compared in one table")
    add_study(board)
    board.set_defaults(command=_leaderboard)


def _show(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import missing, open_context

    context = open_context(options.benchmark, study=options.study)
    table = context.paths.reports / "table.md"
    if not table.exists():
        raise missing(context, table, "compare")
    print(table.read_text(), end="")


def _diagnose(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.diagnose import diagnose

    print(diagnose(open_context(options.benchmark, study=options.study), minutes_per_label=options.minutes_per_label))


def _leaderboard(options: argparse.Namespace) -> None:
    params = load_params(study=options.study)
    from datasetdm.pipeline.leaderboard import make_leaderboard

    for table in make_leaderboard(params, study=options.study).tables.values():
        print(table, end="")
