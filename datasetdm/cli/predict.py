"""The command that uses a trained model on a person's own pictures."""

import argparse
from pathlib import Path
from typing import Any

from datasetdm.cli.options import BENCHMARK, add_command, require_project


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "predict",
        _predict,
        help="annotate a folder of pictures with a trained model",
        description="Annotate an image, or all images below a folder, with a trained model. Writes COCO JSON (masks as "
        "RLE, or keypoints), index PNG or depth PNG, and overlays, all in the images' own pixels. An interrupted run "
        "continues where it stopped. Images that cannot be read are reported at the end.",
        benchmark=False,
        as_json=False,
    )
    parser.add_argument("source", type=Path, help="an image, or a folder with images")
    parser.add_argument("--benchmark", help=f"whose model: {BENCHMARK}")
    parser.add_argument(
        "--model",
        default="champion",
        help="champion (default), challenger, decoder, or a folder such as data/downstream/coco/both/0",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="lowest score of an object that is kept (default: 0.3)"
    )
    parser.add_argument("--boxes", type=Path, help="for pose models: COCO JSON with the persons' boxes")
    parser.add_argument("--no-overlays", action="store_true", help="write annotations alone")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")


def _predict(options: argparse.Namespace) -> None:
    if options.benchmark:
        require_project()
    from datasetdm.config import load_params
    from datasetdm.pipeline.predict import find_images, predict, read_boxes
    from datasetdm.pipeline.trained_models import load_model

    find_images(options.source, options.out)  # before the model is loaded, which may take a minute
    boxes = None if options.boxes is None else read_boxes(options.boxes)
    model = load_model(options.model, benchmark=options.benchmark, study=options.study, device=options.device)
    title = " ".join(filter(None, (options.benchmark, str(options.model))))
    done = predict(
        options.source,
        model,
        options.out,
        threshold=options.threshold,
        overlays=not options.no_overlays,
        boxes=boxes,
        title=title,
    )
    found = f"; objects with a score of at least {options.threshold:g}: {done.objects}" if done.objects else ""
    before = f" ({done.continued} of them by the run that was interrupted)" if done.continued else ""
    print(f"{options.out}: images annotated: {done.images}{before}{found}")
    if options.benchmark and load_params().benchmark(options.benchmark).source.miniworld:
        print("This model has only seen the embedded world. What it finds in photographs means nothing.")
    if done.unreadable:
        print(f"Images that could not be read: {len(done.unreadable)}")
        for name, reason in done.unreadable.items():
            print(f"  {name}: {reason}")
