"""Stage `adapt`: a LoRA that teaches the diffusion model what the benchmark's images look like; a unit is its training.

It learns from pixels and captions alone, after DreamBooth (Ruiz et al., arXiv 2208.12242) and its use for synthetic
data (CA-LoRA, Park et al., arXiv 2503.22172). Dev and test images have no part in it. Later stages draw and read with
it (`adapt.reading_scale` chooses how strongly they read), and its digest is part of the model's fingerprint, so they
make again what they have made without it.

Without `adapt` in the benchmark's settings, nothing is trained.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from datasetdm import config
from datasetdm.datasets.standard.unlabelled import Unlabelled
from datasetdm.diffusion import find_weights
from datasetdm.diffusion.adapters import LORA_FILE
from datasetdm.diffusion.weights import model_fingerprint
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.backbone_match import check_match
from datasetdm.pipeline.context import Context, missing, release_backbone
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, publish_unit, resume_folder, unit_times
from datasetdm.pipeline.experiment_log import log_curves, log_result, logged_run
from datasetdm.pipeline.stages import ingest
from datasetdm.pipeline.unlabelled_images import domain_images
from datasetdm.prompts.english import counted
from datasetdm.utils.seeding import derived_seed

CODE_VERSION = "2"


def units(context: Context) -> Iterator[Unit]:
    """The training, if the settings ask for it; the payload is the images, in the order in which they are taken."""
    settings = context.settings.adapt
    if settings is None:
        return
    images = _shuffled(domain_images(context), settings)
    model = context.params.backbone
    folder = STAGE.folder(
        context,
        settings.model_copy(update={"scale": 1.0, "reading_scale": None}),  # applied when the LoRA is loaded
        model_fingerprint(find_weights(model), model),
        [image.identity for image in images],
        (_prior_prompts(context), context.settings.synthesis.sampler) if settings.prior_weight else None,
    )
    yield Unit(key="lora", folders=(folder,), payload=images)


def make(context: Context, unit: Unit) -> None:
    """Train the LoRA. A training that was cut off resumes from its last checkpoint."""
    check_match(context)

    def work(folder: Path) -> None:
        from datasetdm.pipeline.lora import train_lora

        train_lora(context, unit.payload, _prior_prompts(context), folder, resume_folder(unit.folder))

    make_unit(unit.folder, work)


def _shuffled(images: Sequence[Unlabelled], settings: config.Adaptation) -> list[Unlabelled]:
    """The images that are taken, in random order."""
    generator = torch.Generator().manual_seed(derived_seed(settings.seed, 8))
    order = torch.randperm(len(images), generator=generator).tolist()
    return [images[number] for number in order[: settings.num_images]]


def _prior_prompts(context: Context) -> list[str]:
    """What the model is asked to draw, so that it does not forget it: each category by itself."""
    return [f"a photo of {counted(1, category.noun)}" for category in context.task().subjects] or ["a photo"]


def finish(context: Context, plan: Plan) -> StageResult:
    """Publish the LoRA."""
    with publish_checked(STAGE, context) as folder:
        for unit in plan:
            publish_unit(unit.folder, folder)
    if not len(plan):
        return StageResult(empty="The benchmark's `adapt` in params.yaml is not set, so the model is used as it is.")
    release_backbone()  # it may be the model with another LoRA
    output, name = context.paths.adapted, context.benchmark
    result = StageResult(metrics=json.loads((output / "metrics.json").read_text()))
    inputs, times = {f"real_{name}": context.paths.real}, unit_times(plan.folders)
    with logged_run(context, STAGE, inputs=inputs, output=output, times=times) as run:
        log_curves(run, output / "curves.csv")
        return log_result(run, result)


def _unused(context: Context) -> Sequence[str]:
    """Settings that make no difference."""
    settings = context.settings.adapt
    return () if settings is not None and settings.prior_weight else ("synthesis.sampler",)


def _check_lora(context: Context, folder: Path) -> dict[str, int]:
    if context.settings.adapt is None:
        return {"loras": 0}
    file = folder / LORA_FILE
    if not file.exists():
        raise missing(context, file, "adapt")
    weights = load_file(file)
    if not weights or not all(values.isfinite().all() for values in weights.values()):
        raise DatasetDMError(f"{file} has no weights, or some that are no numbers: lower adapt.learning_rate.")
    return {"loras": 1}


STAGE: Stage[Context] = Stage(
    name="adapt",
    asset="adapted",
    description="A LoRA that teaches the diffusion model the look of the images, if the settings ask for it.",
    upstream=(ingest.STAGE,),
    parameters=("adapt", "task", "seeds", "synthesis.sampler"),
    unused=_unused,
    shared_parameters=("backbone",),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    finish=finish,
    output=lambda context: context.paths.adapted,
    checks=(Check(name="lora_loads", description="The LoRA's weights are all finite numbers.", run=_check_lora),),
)
