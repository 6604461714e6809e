"""Commands about how far images and labels can be trusted."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from datasetdm.cli.options import add_command, open_published, require_project
from datasetdm.cli.tables import print_text

if TYPE_CHECKING:  # takes seconds to import
    from datasetdm.pipeline.near_copies import Copy


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    add_command(commands, "copies", _copies, help="list images that show the same picture, in sets that must not")


def _copies(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import missing
    from datasetdm.pipeline.near_copies import copies_of_drawn, copies_of_held_out

    context = open_published(options.benchmark, study=options.study)
    real, synthetic = context.paths.real, context.paths.synthetic
    if not (real / "annotations").is_dir():
        raise missing(context, real, "ingest")
    held_out, compared = copies_of_held_out(real)
    drawn, count = copies_of_drawn(synthetic, real) if synthetic.exists() else ([], 0)
    if options.json:
        found = {"held_out": held_out, "drawn": drawn}
        print(json.dumps({name: [asdict(copy) for copy in copies] for name, copies in found.items()}, default=str))
        return
    print_text(_text(f"{compared} real images", "copies of images that are held out", held_out))
    print_text(_text(f"{count} drawn images", "copies of real or of other drawn images", drawn))


def _text(of: str, what: str, copies: Sequence["Copy"]) -> str:
    """A sentence, and a table of the pairs."""
    if not copies:
        return f"{of}: no {what}.\n"
    rows = [
        f"| {_short(copy.first)} | {_short(copy.second)} | {copy.second_sets or '-'} | {copy.similarity:.2f} |\n"
        for copy in sorted(copies, key=lambda copy: -copy.similarity)
    ]
    heading = "| image | is like | of the sets | similarity |\n|---|---|---|---:|\n"
    return "".join([f"{of}: {len(copies)} {what}.\n\n", heading, *rows, "\n"])


def _short(file: Any) -> str:
    """The path below the folder of the set."""
    parts = file.parts
    start = parts.index("rejected") if "rejected" in parts else parts.index("images")
    return "/".join(parts[start:])
