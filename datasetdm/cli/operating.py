"""Commands for those who look after a project: `prune`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasetdm.cli.options import add_command, require_project
from datasetdm.cli.tables import print_text
from datasetdm.errors import DatasetDMError

if TYPE_CHECKING:  # takes seconds to import
    from datasetdm.pipeline.pruning.findings import Findings

PARTS = ("work", "dvc", "mlflow", "dagster")
DAYS = 30
MOST_LISTED = 20  # items of a part; --json has all


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    prune = add_command(
        commands,
        "prune",
        _prune,
        help="list what nothing needs any more, and remove it with --yes",
        description="List what nothing needs any more, with its size: finished parts of stages that no settings name, "
        "versions in DVC's cache that no commit names, runs of MLflow and Dagster that newer ones have replaced. "
        "Nothing is removed without --yes. docs/operate.md says what stays.",
        benchmark=False,
        study=False,
    )
    prune.add_argument("--yes", action="store_true", help="remove it")
    prune.add_argument("--only", choices=PARTS, action="append", help="only this part; may be given several times")
    prune.add_argument(
        "--days",
        type=_days,
        default=DAYS,
        help=f"how long runs of MLflow and Dagster stay after they have ended (default: {DAYS})",
    )
    prune.add_argument(
        "--keep",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="another settings file whose work stays, such as params/paper.yaml; may be given several times",
    )
    prune.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="KIND",
        help="also all results of another command, such as diagnose, which are made again when they are asked for",
    )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 36500:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of days")
    return days


def _prune(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.pruning.prune import find

    found = find(options.only or PARTS, days=options.days, keep=options.keep, also=options.also)
    problems = [problem for part in found for problem in part.remove()] if options.yes else []
    if options.json:
        print(json.dumps([_as_json(part) for part in found], indent=2))
    else:
        print_text(_as_text(found, removed=options.yes))
    if problems:
        raise DatasetDMError("\n  ".join(["Not everything was removed:", *problems]))


def _as_json(part: "Findings") -> dict[str, Any]:
    return {
        "part": part.part,
        "size": part.size,
        "items": [asdict(item) for item in part.items],
        "notes": list(part.notes),
    }


def _as_text(found: Sequence["Findings"], *, removed: bool) -> str:
    lines = []
    for part in found:
        lines += [f"{part.part}: {item.name} ({_bytes(item.size)}): {item.why}" for item in part.items[:MOST_LISTED]]
        if len(part.items) > MOST_LISTED:
            lines.append(f"{part.part}: and {len(part.items) - MOST_LISTED} more, which --json lists")
        lines += [f"{part.part}: {note}" for note in part.notes]
    lines += ["", "| part | to remove | bytes |", "|---|---:|---:|"]
    lines += [f"| {part.part} | {len(part.items)} | {_bytes(part.size)} |" for part in found]
    lines.append("")
    if not any(part.items for part in found):
        lines.append("There is nothing to remove.")
    else:
        lines.append("This was removed." if removed else "Nothing was removed. --yes removes what is listed here.")
    return "\n".join(lines) + "\n"


def _bytes(size: int | None) -> str:
    """`1.2 GB`; what is smaller than a kilobyte in bytes."""
    if size is None:
        return "size not known"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"
