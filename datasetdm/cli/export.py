"""The command that writes annotated sets in the formats of other tools."""

import argparse
from pathlib import Path
from typing import Any

from datasetdm.cli.options import BENCHMARK, add_command, open_published, require_project
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.pipeline.export_sets import SETS, TOGETHER


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "export",
        _export,
        help="take the synthetic set away: COCO, YOLO, VOC, CVAT, Hugging Face, WebDataset",
        description="Write annotated images in the format of another tool, into a folder that appears once it is "
        "complete. An older export there is replaced. Image files are hard links where the disk allows them, so do "
        "not edit them in place, or use --copy. Several benchmarks become one set: categories of the same name are "
        "one. See docs/exports.md.",
        benchmark=False,
        as_json=False,
    )
    parser.add_argument("benchmarks", nargs="+", metavar="benchmark", help=BENCHMARK)
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="see docs/exports.md")
    parser.add_argument("--out", type=Path, required=True, help="folder for the export")
    parser.add_argument(
        "--set",
        nargs="+",
        choices=(*SETS, *TOGETHER),
        default=["synthetic"],
        dest="sets",
        help="synthetic (default), real (the few labelled images), both (these two), augmented (splices) become the "
        "split train; dev the split val, test the split test",
    )
    parser.add_argument("--seed", type=int, help="whose labels, where the benchmark has several seeds (default: first)")
    parser.add_argument("--copy", action="store_true", help="copy image files instead of linking them")
    parser.add_argument(
        "--renumber",
        action="store_true",
        help="where category ids of several benchmarks disagree, keep those of the first and fit the others",
    )


def _export(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.export_data import Options, export_data

    contexts = [open_published(name, study=options.study) for name in options.benchmarks]
    settings = Options(
        format=options.format,
        out=options.out,
        sets=options.sets,
        seed=options.seed,
        copy=options.copy,
        renumber=options.renumber,
    )
    exported = export_data(contexts, settings)
    counts = ", ".join(f"{count} for {split}" for split, count in exported.images.items())
    print(f"{options.out}: {sum(exported.images.values())} images ({counts}) as {options.format}")
    for benchmark, ids in exported.renumbered.items():
        changed = ", ".join(f"{old} is now {new}" for old, new in ids.items())
        print(f"category ids of {benchmark}: {changed}")
    if exported.lost:
        print("What the format cannot hold:")
        print("\n".join(f"{count:>6} × {what}" for what, count in exported.lost.items()))
