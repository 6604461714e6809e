"""What does the LoRA of a benchmark change? The same prompts and seeds without it and with it, below real images.

    python -m datasetdm run coco_pose --study --until adapt
    python -m benchmarks.adapted_pictures coco_pose --study

The prompts are captions of images of dev. Writes the pictures, and next to them the error of the model on held-out
images before and after the training of the LoRA, to benchmarks/results/adaptation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.made_with import write_result
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.diffusion.backbone import Backbone
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import GenerationRequest, draw
from datasetdm.transforms.geometry import squeeze
from datasetdm.utils.files import read_json, write_image

RESULTS = Path("benchmarks/results/adaptation")
METRICS = "metrics.json"


def main() -> None:
    """Draw, and write pictures and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", help="one whose settings have `adapt`")
    parser.add_argument("--study", action="store_true", help="the LoRA of the study")
    parser.add_argument("--num-images", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    context = open_context(arguments.benchmark, study=arguments.study)
    if context.settings.adapt is None:
        raise SystemExit(f"error: benchmarks.{arguments.benchmark}.adapt in params.yaml is not set")
    try:
        pictures = sheet(context, arguments.num_images)
        figures = read_json(context.paths.adapted / METRICS, remedy="Run the stage `adapt` again.")
    except DatasetDMError as error:
        raise SystemExit(f"error: {error}") from None
    write_image(arguments.out / f"{arguments.benchmark}.png", pictures)
    settings = context.settings.adapt.model_dump(mode="json")
    write_result(arguments.out / f"{arguments.benchmark}.json", {"settings": settings, "figures": figures})


def sheet(context: Context, number: int) -> np.ndarray:
    """Three rows of pictures: real, drawn without the LoRA, drawn with it."""
    samples = standard_format(*context.task().kind).load(context.paths.real, "dev")
    shown = [samples[position] for position in range(min(number, len(samples)))]
    without = context.with_settings("adapt", scale=0.0, reading_scale=None)
    rows = {
        "real": [squeeze(sample.image, context.params.backbone.image_size) for sample in shown],
        "without the LoRA": drawn(context, without.drawing_backbone(), shown),
        "with the LoRA": drawn(context, context.drawing_backbone(), shown),
    }
    return np.concatenate([contact_sheet(pictures, [name] * len(pictures)) for name, pictures in rows.items()])


def drawn(context: Context, backbone: Backbone, shown: Sequence[Sample]) -> list[np.ndarray]:
    """What a model draws for the captions of images."""
    settings = context.settings.synthesis
    requests = [
        GenerationRequest(index=number, prompt_id=number, prompt=sample.caption, seed=number)
        for number, sample in enumerate(shown)
    ]
    return list(backbone.decode(draw(backbone, requests, settings.sampler, settings.batch_size)).numpy())


if __name__ == "__main__":
    main()
