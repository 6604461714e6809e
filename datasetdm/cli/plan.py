"""The command that says what a run will cost."""

import argparse
import json
import time
from typing import Any

from datasetdm.cli.options import add_command, require_project
from datasetdm.cli.tables import print_text


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "plan",
        _plan,
        help="say what a run will cost: images, iterations, time, GPU memory and disk",
        description="Say what each stage still has to do and what that costs, from a short calibration on this machine "
        "(a minute or two if it is idle). Nothing is written into the project. See docs/plan.md.",
    )
    parser.add_argument("--card", help="also estimate the time on this GPU: a100-80gb, l4, ... (docs/plan.md)")
    parser.add_argument("--price", type=_price, help="of an hour on that card, or on this machine: also say the cost")


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a price")
    return price


def _plan(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.planning.benchmark import plan_benchmark
    from datasetdm.pipeline.planning.cards import find_card

    card = find_card(options.card) if options.card else None
    context = open_context(options.benchmark, study=options.study)
    start = time.process_time()  # spent on imports, as in every process that makes a part
    summary = plan_benchmark(context, card=card, price=options.price, start=start)
    print_text(json.dumps(summary.to_dict(), indent=2) + "\n" if options.json else summary.text())
