"""Stage `train_decoder`: one P-Decoder per seed, on the few labelled images; a unit is one training."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from datasetdm.arms import P_DECODER
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import DecoderModel
from datasetdm.decoder.trainer import train_decoder
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.backbone_match import check_match
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, resume_folder, unit_seconds, unit_times
from datasetdm.pipeline.experiment_log import (
    DECODER_DEV,
    PICTURES,
    finite,
    judged_by,
    log_curves,
    log_figures,
    logged_run,
    promote_champion,
)
from datasetdm.pipeline.model_log import dev_picture, register_model
from datasetdm.pipeline.registered_decoder import backbone_options
from datasetdm.pipeline.stages import adapt, ingest

CODE_VERSION = "1"


def _subset(context: Context, seed: int) -> str:
    """The labelled images that the decoder of a seed learns from."""
    return f"decoder_{seed}" if context.settings.source.decoder else f"few_shot_{seed}"


def units(context: Context) -> Iterator[Unit]:
    """The decoders; the payload is the seed."""
    sets = AnnotatedSets()
    return (_unit(context, seed, sets) for seed in context.seeds)


def _unit(context: Context, seed: int, sets: AnnotatedSets) -> Unit:
    real, subsets = context.paths.real, (_subset(context, seed), "dev")
    for subset in subsets:
        if not annotation_file(real, subset).exists():
            raise missing(context, annotation_file(real, subset), "ingest")
    settings, backbone = context.settings, context.backbone()
    data = [sets.identity(real, subset) for subset in subsets]
    folder = STAGE.folder(context, settings.task, seed, settings.decoder, backbone.fingerprint, *data)
    return Unit(key=str(seed), folders=(folder,), payload=seed)


def make(context: Context, unit: Unit) -> None:
    """Train the decoder of one seed. A training that was cut off resumes from its last checkpoint."""
    check_match(context)  # not after the training, when the prompts are written
    seed, task = unit.payload, context.task()

    def work(folder: Path) -> None:
        train_decoder(
            context.backbone(),
            task,
            standard_format(*task.kind).load(context.paths.real, _subset(context, seed)),
            standard_format(*task.kind).load(context.paths.real, "dev"),
            context.settings.decoder,
            seed=seed,
            out=folder,
            resume=resume_folder(unit.folder),
        )

    make_unit(unit.folder, work)


def finish(context: Context, plan: Plan) -> StageResult:
    """Publish the decoders, with the dev figures of all seeds side by side."""
    with publish_checked(STAGE, context) as folder:
        for unit in plan:
            shutil.copytree(unit.folder, folder / unit.key)
    metrics: dict[str, float] = {}
    pictures = []
    for unit in plan:
        figures, picture = _log(context, unit)
        metrics |= {f"seed_{unit.key}/{name}": value for name, value in figures.items()}
        pictures.append(str(picture))
    promote_champion(context, "decoder", DECODER_DEV)
    return StageResult(metrics=metrics, pictures=pictures)


def seconds_spent(context: Context, seed: int) -> float:
    """How long the decoder of a seed took to train."""
    return unit_seconds(_unit(context, seed, AnnotatedSets()).folder)


def _log(context: Context, unit: Unit) -> tuple[dict[str, float], Path]:
    """Log one decoder to MLflow and register it; returns its dev figures and picture."""
    seed, folder, real = unit.payload, context.paths.decoders / unit.key, context.paths.real
    figures = finite(json.loads((folder / "metrics.json").read_text()))
    inputs, name = {f"real_{context.benchmark}": real}, f"{P_DECODER}/{seed}"
    facts = {"arm": P_DECODER, "seed": seed, "images": AnnotatedSets().count(real, _subset(context, seed))}
    times, tags = unit_times([unit.folder]), judged_by(context)
    picture = dev_picture(context, name, DecoderModel.load(folder, context.backbone()))
    with logged_run(context, STAGE, inputs=inputs, output=folder, times=times, name=name, facts=facts, **tags) as run:
        log_figures(run, DECODER_DEV, figures, context.task().headline)
        log_curves(run, folder / "curves.csv")
        run.log_artifact(picture, PICTURES)
        register_model(
            context,
            run,
            "decoder",
            folder,
            "datasetdm.pipeline.registered_decoder:load_decoder_model",
            facts=facts,
            figures=figures,
            inputs=inputs,
            options=backbone_options(context.backbone_settings),
        )
    return figures, picture


def _check_loads(context: Context, folder: Path) -> dict[str, int]:
    for seed in context.seeds:
        load_decoder(folder / str(seed))
    return {"decoders": len(context.seeds)}


STAGE: Stage[Context] = Stage(
    name="train_decoder",
    asset="p_decoder",
    description="The P-Decoder: reads annotations off the frozen diffusion model, trained on the few labelled images.",
    upstream=(ingest.STAGE, adapt.STAGE),
    parameters=("task", "seeds", "decoder"),
    shared_parameters=("backbone",),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    finish=finish,
    output=lambda context: context.paths.decoders,
    checks=(Check(name="decoders_load", description="Every decoder loads back.", run=_check_loads),),
)
