"""Commands about how far images and labels can be trusted."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasetdm.cli.options import add_command, open_published, positive, require_project
from datasetdm.cli.tables import print_text
from datasetdm.utils.program import program

if TYPE_CHECKING:  # takes seconds to import
    from datasetdm.pipeline.context import Context
    from datasetdm.pipeline.near_copies import Copy

# Kept here so that help does not wait for the slow imports; a test compares it with `store.REVIEWABLE`.
SETS = ("synthetic", "real")
_SHOWN = 5


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    add_command(commands, "copies", _copies, help="list images that show the same picture, in sets that must not")
    add_command(commands, "labels", _labels, help="list the labels that a trained model doubts, as a page and a table")
    review = add_command(
        commands,
        "review",
        _review,
        help="send doubtful labels to a person: CVAT, Label Studio, PNG; and take them back corrected",
        as_json=False,
    )
    what = review.add_mutually_exclusive_group(required=True)
    what.add_argument("--worst", type=positive, metavar="N", help="write the N images whose labels are most doubtful")
    what.add_argument(
        "--take", nargs="+", type=Path, metavar="PATH", help="take back what the labelling tool has exported"
    )
    review.add_argument("--folder", type=Path, help="of the review (default: review/<benchmark>)")
    review.add_argument(
        "--set",
        nargs="+",
        choices=SETS,
        default=["synthetic"],
        dest="sets",
        help="with --worst: the generated images that passed the filters (default), the few labelled images, or both",
    )
    review.add_argument("--seed", type=int, help="with --worst: whose labels, of several seeds (default: the first)")
    review.add_argument(
        "--keep-going", action="store_true", help="with --take: take what can be used, even if something is left out"
    )


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


def _labels(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.engine.run import run_stage
    from datasetdm.pipeline.labels.report import STAGE

    context = open_published(options.benchmark, study=options.study)
    result = run_stage(STAGE, context)
    if options.json:
        print(json.dumps({"output": str(context.paths.labels), **asdict(result)}, indent=2))
        return
    for title, table in result.tables.items():
        print_text(f"{title}:\n\n{table}\n")
    print(f"all of them     {context.paths.labels}/labels.csv\nwith pictures   {context.paths.labels}/index.html")


def _review(options: argparse.Namespace) -> None:
    require_project()
    context = open_published(options.benchmark, study=options.study)
    folder = options.folder or Path("review") / options.benchmark
    if options.take:
        _take(context, folder, options)
        return
    from datasetdm.pipeline.labels.send import send_worst

    sent = send_worst(context, folder, sets=options.sets, worst=options.worst, seed=options.seed)
    print(f"{folder}: {sent.count} images, judged by {sent.judge}. The most doubtful:")
    for image, doubt in sent.worst[:_SHOWN]:
        print(f"  {doubt.score:.2f}  {image}: {doubt.reason}")
    print(f"{folder}/README.md says what to do with {', '.join(f'{tool}/' for tool in sent.tools)}")


def _take(context: "Context", folder: Path, options: argparse.Namespace) -> None:
    from datasetdm.arms import ARMS
    from datasetdm.pipeline.labels.take import take_back

    taken = take_back(context, folder, options.take, keep_going=options.keep_going)
    print("\n".join(taken.report))
    print(
        f"{taken.images} of the {taken.sent} images that were sent came back, {taken.new} for the first time; "
        f"{taken.folder} now holds {taken.in_all}."
    )
    arms = [arm for arm in context.settings.experiment.arms if ARMS[arm].with_reviewed]
    if arms:
        flag = " --study" if options.study else ""
        print(f"Next: {program()} run {context.benchmark}{flag}   (trains {', '.join(arms)} again, on them too)")
    else:
        able = ", ".join(arm for arm in ARMS if ARMS[arm].with_reviewed)
        print(f"No arm of {context.benchmark} is trained on them: add {able} to experiment.arms in params.yaml.")
