"""Commands that show what was found: the comparison's table, the diagnosis, the leaderboard."""

import argparse
from typing import Any

from datasetdm.cli.options import add_command, open_published, require_project
from datasetdm.cli.tables import print_text
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
    leaderboard = add_command(
        commands,
        "leaderboard",
        _leaderboard,
        help="print all benchmarks that were compared in one table",
        description="Print all benchmarks that were compared in one table, and write it as a page.",
        benchmark=False,
    )
    leaderboard.add_argument(
        "--add",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="metrics.json of runs made elsewhere, to stand next to those made here; they stay in data/reports/added",
    )


def _show(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import missing, open_context

    context = open_context(options.benchmark, study=options.study)
    file = context.paths.reports / ("metrics.json" if options.json else "table.md")
    if not file.exists():
        raise missing(context, file, "compare")
    _print(file.read_text(), options)


def _diagnose(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.diagnose import diagnose

    context = open_published(options.benchmark, study=options.study)
    text = diagnose(context, minutes_per_label=options.minutes_per_label)
    _print(context.paths.diagnosis.with_suffix(".json").read_text() if options.json else f"{text}\n", options)


def _leaderboard(options: argparse.Namespace) -> None:
    params = load_params(study=options.study)
    from datasetdm.pipeline.leaderboard import add_runs, make_leaderboard
    from datasetdm.pipeline.paths import reports_folder

    folder = reports_folder(study=options.study)
    add_runs(options.add, folder)
    result = make_leaderboard(params, folder)
    file = folder / "leaderboard.json"
    _print(file.read_text() if options.json else "".join(result.tables.values()), options)


def _print(text: str, options: argparse.Namespace) -> None:
    """Print JSON as it is, and Markdown as a person or a file wants it."""
    if options.json:
        print(text, end="")
    else:
        print_text(text)
