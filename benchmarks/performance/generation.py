"""Annotated images a second, written to disk: ours against the paper's procedure."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.performance.measurement import Measurement, in_turn
from benchmarks.performance.paper import STEPS, synthesize_like_the_paper
from benchmarks.performance.project import small_benchmark
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.unet import UNetBackbone
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.rounds.shard import annotator_of
from datasetdm.pipeline.stages import STAGES
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.synthesis.generate import GenerationRequest, make_requests, synthesize
from datasetdm.synthesis.manifest import sample_of
from datasetdm.utils.files import write_image


def measure(
    data: Path, *, dtype: str | None = None, images: int = 16, repeats: int = 3, reference_images: int = 2
) -> Measurement:
    """Draw, annotate and write a few images each way.

    Args:
        data: folder of the benchmark.
        dtype: of our diffusion model; None: as in params.yaml. The reference is in float32, as the paper's.
        images: per repeat of ours.
        repeats: their median counts.
        reference_images: per repeat of the reference, which is slower.
    """
    training = {"iterations": 200, "evaluate_every": 200, "views_per_image": 16}
    context = small_benchmark(data, dtype=dtype, decoder=training)
    for name in ("ingest", "adapt", "train_decoder", "write_prompts"):
        run_stage(STAGES[name], context)
    settings = context.settings.synthesis
    backbone = context.backbone()
    reference = load_backbone(context.params.backbone.model_copy(update={"dtype": "float32"}), context.params.device)
    assert isinstance(reference, UNetBackbone)
    requests = make_requests(_prompts(context), images, settings.seed)
    prompts = [request.prompt for request in requests[:reference_images]]
    annotator = annotator_of(context, 0)
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "reference"
        seconds = in_turn(
            {
                "ours": lambda: _synthesize(context, requests, ours),
                "reference": lambda: synthesize_like_the_paper(
                    reference,
                    context.task(),
                    annotator,
                    prompts,
                    theirs,
                    guidance_scale=settings.sampler.guidance_scale,
                    scheduler="ddim",
                ),
            },
            repeats,
        )
    return Measurement(
        ours=images / seconds["ours"],
        reference=reference_images / seconds["reference"],
        unit="annotated images a second",
        higher_is_better=True,
        of=f"the settings of coco in params.yaml against the paper's procedure with {STEPS} steps",
        details={
            "image_size": context.params.backbone.image_size,
            "num_inference_steps": settings.sampler.num_inference_steps,
            "dtype": context.params.backbone.dtype,
            "device": str(backbone.device),
            "batch_size": settings.batch_size,
        },
    )


def _synthesize(context: Context, requests: Sequence[GenerationRequest], folder: Path) -> None:
    """What a shard does."""
    task, accepted = context.task(), list[Sample]()
    for found in synthesize(context.backbone(), task, [annotator_of(context, 0)], requests, context.settings.synthesis):
        write_image(folder / "images" / found.request.name, found.image)
        if found.acceptances["seed_0"].rejected is None:
            accepted.append(sample_of(found, "seed_0"))
    standard_format(*task.kind).save(folder, "seed_0", accepted)


def _prompts(context: Context) -> pd.DataFrame:
    subjects = choose_subjects(context.task().subjects, context.settings.prompts)
    return load_prompts(context.paths.prompts, tuple(subjects))
