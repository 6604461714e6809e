"""Commands for those who share a set, or check a shared one: draw an image again, publish."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasetdm.cli.options import BENCHMARK, add_command, open_published, require_project
from datasetdm.errors import DatasetDMError


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    publish = add_command(
        commands,
        "publish",
        _publish,
        help="write set and models with cards and Croissant metadata to a folder, and to the Hugging Face Hub if asked",
    )
    publish.add_argument("--out", type=Path, required=True, help="folder to write: dataset/, p_decoder/, downstream/")
    publish.add_argument("--hub", metavar="OWNER/NAME", help="also upload; needs a token, as in HF_TOKEN")
    publish.add_argument("--private", action="store_true", help="make new repositories on the hub private")
    publish.add_argument("--replace", action="store_true", help="replace an earlier publication in the folder")
    reproduce = add_command(
        commands,
        "reproduce",
        _reproduce,
        help="draw an image of the synthetic set again, and compare it with the stored one",
        description="Draw an image of the synthetic set and its annotations again from its row in the manifest, also "
        "one that was rejected, and compare both with the stored ones. Exit code 2 if they differ.",
        benchmark=False,
    )
    reproduce.add_argument("benchmark", help=f"{BENCHMARK}, or the image file itself")
    reproduce.add_argument("image", nargs="?", help="name of the image, such as 000012.png")
    reproduce.add_argument("--out", type=Path, help="folder for the results (default: data/reproduced/...)")


def _publish(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.publication.publish import publish

    context = open_published(options.benchmark, study=options.study)
    done = publish(context, options.out, hub=options.hub, private=options.private, replace=options.replace)
    if options.json:
        print(json.dumps(asdict(done), indent=2, default=str))
        return
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{done.images} images with annotations")
    print("\n".join(f"{name:<12}{folder}" for name, folder in done.folders.items()))
    print("\n".join(done.addresses), end="\n" if done.addresses else "")


def _reproduce(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.reproduce import benchmark_of, reproduce

    benchmark, image = options.benchmark, options.image
    if image is None:
        benchmark, image = benchmark_of(Path(benchmark))
    found = reproduce(open_published(benchmark, study=options.study), image, options.out)
    if options.json:
        print(json.dumps({"equal": found.equal, **asdict(found)}, indent=2, default=str))
    else:
        print("\n".join([*found.lines, f"written to    {found.folder}"]))
    if not found.equal:
        raise DatasetDMError(
            f"{found.stored} and what was drawn again differ. On another kind of processor or device, with another "
            "number of threads or other versions of the libraries, last bits differ; docs/reproduce.md says more."
        )
