"""The command that brings a person's own data into the project."""

import argparse
from pathlib import Path
from typing import Any

from datasetdm.cli.options import add_command, require_project
from datasetdm.config import load_params
from datasetdm.config.adding import add_block
from datasetdm.errors import DatasetDMError
from datasetdm.utils.program import program

# Kept here so that help does not wait for the slow imports; a test compares it with `exports.EXPORTS`.
FORMATS = ("voc", "yolo", "coco", "labelme", "voc_boxes", "depth", "masks")


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "import",
        _import,
        help="bring in your own labelled images: COCO, YOLO, labelme, VOC, masks, depth",
        description="Read the export of a labelling tool, check it, split it, link its images into data/raw/<name>, "
        "and write the block for params.yaml. The layout is recognised. What is odd is counted; if the export cannot "
        "be used, all reasons are named and nothing is written. See docs/own-data.md.",
        benchmark=False,
        study=False,
        as_json=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, help="folder or annotation file of the export, or several")
    parser.add_argument("--name", required=True, help="of the new benchmark: letters, digits and _")
    parser.add_argument(
        "--write", action="store_true", help="add the block to params.yaml, instead of printing it alone"
    )
    parser.add_argument("--replace", action="store_true", help="replace what was imported under this name before")
    parser.add_argument("--format", choices=FORMATS, help="the layout, where it is recognised wrongly")
    parser.add_argument("--task", choices=("instance", "pose"), help="where an export holds masks and keypoints")
    parser.add_argument(
        "--images", type=Path, action="append", default=[], help="a folder with the images, if elsewhere"
    )
    parser.add_argument("--val", type=Path, help="an annotation file whose images are held out for the comparison")
    parser.add_argument("--val-share", type=_share, default=0.2, help="share to hold out otherwise (default: 0.2)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    parser.add_argument(
        "--group-by", help="regular expression: images whose paths match with the same text stay together"
    )
    parser.add_argument("--classes", type=Path, help="list of the categories of index masks, if elsewhere")
    parser.add_argument(
        "--depth-scale", type=float, help="numbers per metre of depth maps (default: guessed, and said)"
    )
    parser.add_argument(
        "--scene", default="room", help="what images with depth show, as a prompt says it (default: room)"
    )
    parser.add_argument(
        "--boxes", choices=("ignore", "as_masks"), default="ignore", help="what an object with a box alone becomes"
    )
    parser.add_argument("--sam", help="segment such boxes with this model: a hub name or folder (SAM, SAM 2, ...)")
    parser.add_argument("--device", default="auto", help="of that model: auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--keep-going", action="store_true", help="take what can be used, even if much is left out")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return share


def _import(options: argparse.Namespace) -> None:
    require_project()
    params = load_params()
    if options.write and options.name in params.benchmarks and not options.replace:
        raise DatasetDMError(
            f"params.yaml has a benchmark '{options.name}' already. Choose another --name, or add --replace."
        )
    from datasetdm.datasets.importing.exports import Request
    from datasetdm.pipeline.import_data import Options, import_data

    request = Request(
        paths=tuple(options.paths),
        images=tuple(options.images),
        val=options.val,
        task=options.task,
        classes=options.classes,
        depth_scale=options.depth_scale,
        scene=options.scene,
    )
    settings = Options(
        name=options.name,
        layout=options.format,
        val_share=options.val_share,
        seed=options.seed,
        group_by=options.group_by,
        boxes=options.boxes,
        sam=options.sam,
        device=options.device,
        keep_going=options.keep_going,
        replace=options.replace,
    )
    imported = import_data(request, settings, params)
    print("\n".join(imported.report))
    print(f"\n{imported.folder} holds the data set. Its block for params.yaml, below `benchmarks:`:\n")
    print(imported.block.text)
    if options.write:
        add_block(Path("params.yaml"), options.name, imported.block.text, replace=options.replace)
        print("The block was added to params.yaml.")
    else:
        print("Add it yourself, or run the same command with --write --replace.")
    print("\n".join(imported.block.notes))
    if options.write:
        print(f"Next: {program()} validate {options.name}")
