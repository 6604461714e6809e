"""Stage `train_decoder`: one P-Decoder per seed, on the few labelled images; a unit is one training."""

import json
import shutil
from pathlib import Path

from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.trainer import train_decoder
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit, resume_folder, unit_seconds
from datasetdm.pipeline.record import crown, finite, judged_by, log_curves, record
from datasetdm.pipeline.registry import backbone_options
from datasetdm.pipeline.stages import ingest
from datasetdm.pipeline.subjects import check_match
from datasetdm.utils.digests import digest


def _subset(context: Context, seed: int) -> str:
    """The labelled images that the decoder of a seed learns from."""
    return f"decoder_{seed}" if context.settings.source.decoder else f"few_shot_{seed}"


def _unit(context: Context, seed: int) -> Path:
    real = context.paths.real
    few_shot, dev = (real / "annotations" / f"{name}.json" for name in (_subset(context, seed), "dev"))
    if not (few_shot.exists() and dev.exists()):
        raise missing(context, few_shot, "ingest")
    sets = [annotated_set(real, subset) for subset in (_subset(context, seed), "dev")]
    fingerprint = digest(context.settings.task, seed, context.settings.decoder, context.backbone().fingerprint, *sets)
    return context.paths.work("train_decoder") / fingerprint


def units(context: Context) -> dict[str, list[Path]]:
    """The decoders, by seed."""
    return {str(seed): [_unit(context, seed)] for seed in context.seeds}


def run_unit(context: Context, key: str) -> None:
    """Train the decoder of one seed. A training that was cut off resumes from its last checkpoint."""
    check_match(context)  # not after the training, when the prompts are written
    seed, task = int(key), context.task()
    unit = _unit(context, seed)

    def work(folder: Path) -> None:
        train_decoder(
            context.backbone(),
            task,
            task.load(context.paths.real, _subset(context, seed)),
            task.load(context.paths.real, "dev"),
            context.settings.decoder,
            seed=seed,
            out=folder,
            resume=resume_folder(unit),
        )

    make_unit(unit, work)


def finish(context: Context) -> StageResult:
    """Publish the decoders, with the dev figures of all seeds side by side."""
    with publish_checked(context, STAGE, context.paths.decoders) as folder:
        for seed in context.seeds:
            shutil.copytree(_unit(context, seed), folder / str(seed))
    metrics: dict[str, float] = {}
    for seed in context.seeds:
        metrics |= {f"seed_{seed}/{name}": value for name, value in _record(context, seed).items()}
    crown(context, "decoder")
    return StageResult(metrics=metrics)


def seconds_spent(context: Context, seed: int) -> float:
    """How long the decoder of a seed took to train."""
    return unit_seconds(_unit(context, seed))


def _record(context: Context, seed: int) -> dict[str, float]:
    """Tell MLflow of one decoder; returns its dev figures."""
    folder = context.paths.decoders / str(seed)
    figures = finite(json.loads((folder / "metrics.json").read_text()))
    inputs = {f"real_{context.benchmark}": context.paths.real}
    seconds = unit_seconds(_unit(context, seed))
    tags = {"seed": seed, **judged_by(context)}
    with record(context, STAGE, inputs=inputs, output=folder, seconds=seconds, **tags) as run:
        run.log_metrics({f"dev/{name}": value for name, value in figures.items()})
        log_curves(run, folder / "curves.csv")
        run.register_model(
            f"{context.experiment}_decoder",
            folder,
            loader="datasetdm.pipeline.registry:load_decoder_model",
            options=backbone_options(context.params.backbone),
        )
    return figures


def _check_loads(context: Context, folder: Path) -> dict[str, int]:
    for seed in context.seeds:
        load_decoder(folder / str(seed))
    return {"decoders": len(context.seeds)}


STAGE = Stage(
    name="train_decoder",
    asset="p_decoder",
    description="The P-Decoder: reads annotations off the frozen diffusion model, trained on the few labelled images.",
    upstream=(ingest.STAGE,),
    parameters=("task", "seeds", "decoder"),
    uses_backbone=True,
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.decoders,
    checks=(Check(name="decoders_load", description="Every decoder loads back.", run=_check_loads),),
)
