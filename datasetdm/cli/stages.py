"""Commands that run stages: each stage by its name, and `run` for the whole chain."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from datasetdm.cli.options import add_command, require_project
from datasetdm.cli.tables import print_text

#: Every stage in the order of the chain, and what it does. Kept here so that help does not wait for the slow imports.
STAGES = {
    "ingest": "take the few labelled images, dev, oracle and test sets out of the data set",
    "adapt": "teach the diffusion model the domain by a LoRA, if the setting adapt asks for it",
    "train_decoder": "train a P-Decoder per seed on the few labelled images",
    "write_prompts": "write the table of prompts, which you may edit",
    "synthesize": "draw images and read their annotations off the diffusion model",
    "annotate": "annotate further real images with the P-Decoder, for the arm pseudo",
    "augment": "splice the annotated images into larger ones",
    "train_downstream": "train the downstream model on each arm",
    "compare": "evaluate every arm on the test set and write the report",
}


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    for name, description in STAGES.items():
        add_dry_run(add_command(commands, name, _run_stage, help=description, stage=name))
    run = add_command(commands, "run", _run_chain, help="run all these stages; those that are up to date cost seconds")
    add_dry_run(run)
    run.add_argument("--until", choices=list(STAGES), default=list(STAGES)[-1], help="the last stage to run")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """The option `--dry-run`."""
    parser.add_argument(
        "--dry-run", action="store_true", help="say what is missing and how long it takes, make nothing"
    )


def _run_stage(options: argparse.Namespace) -> None:
    run_stages(options, [options.stage])


def _run_chain(options: argparse.Namespace) -> None:
    names = list(STAGES)
    run_stages(options, names[: names.index(options.until) + 1])


def run_stages(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Run the stages of a benchmark one after the other."""
    require_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.engine.run import check_ready, preview_stage, run_stage
    from datasetdm.pipeline.stages import STAGES

    context = open_context(options.benchmark, study=options.study)
    if options.dry_run:
        previews = {name: preview_stage(STAGES[name], context) for name in names}
        print_text(json.dumps(previews, indent=2) + "\n" if options.json else _as_table(previews))
        return
    check_ready([STAGES[name] for name in names], context)
    results = {name: run_stage(STAGES[name], context) for name in names}
    if options.json:
        outputs = {name: {"output": str(STAGES[name].output(context)), **asdict(results[name])} for name in names}
        print(json.dumps(outputs, indent=2, default=str))
    else:
        print_links(results[names[-1]].links)


def _as_table(previews: Mapping[str, str]) -> str:
    """A Markdown table of the stages."""
    return "".join(["| stage | now |\n|---|---|\n", *(f"| {name} | {text} |\n" for name, text in previews.items())])


def print_links(links: Mapping[str, str]) -> None:
    """Where to look further."""
    for title, address in links.items():
        print(f"{title}: {address}")
