"""Stage `annotate`: real images that have no labels, annotated by the P-Decoder; a unit is one seed's decoder.

The arm `pseudo` is trained on them: where `synthetic` is better, drawing images was worth it, and not only reading
annotations off the diffusion model. So everything but the images is the same: decoder, acceptance, splicing (by
`augment`), training. The captions are the prompts, as in the evaluation of the decoder; where a data set has none,
`ingest` wrote them from the labels, as the synthetic images' prompts name what they show.

A benchmark without an arm that needs them gets an empty folder.
"""

from pathlib import Path

from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.pipeline.checks import check_accepted
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit, publish_unit, unit_seconds
from datasetdm.pipeline.record import record
from datasetdm.pipeline.stages import ingest, train_decoder
from datasetdm.pipeline.unlabelled import labelling, save_labelled, unlabelled_images
from datasetdm.synthesis.pseudo_labels import read_labels
from datasetdm.utils.digests import digest


def subsets(context: Context) -> dict[str, int]:
    """Annotation file -> seed of the decoder; none where no arm needs them.

    Beside `pseudo` that is `self_training` where its teacher has to be told something of an image, such as the boxes
    of the persons: what the P-Decoder has found, as nobody has the truth.
    """
    arms = context.settings.downstream.arms
    needed = "pseudo" in arms or ("self_training" in arms and context.task().takes_hints)
    return {f"seed_{seed}": seed for seed in context.seeds} if needed else {}


def units(context: Context) -> dict[str, list[Path]]:
    """The annotation files, each a unit."""
    return {subset: [_unit(context, subset)] for subset in subsets(context)}


def run_unit(context: Context, key: str) -> None:
    """Annotate all images with the decoder of one seed."""

    def work(folder: Path) -> None:
        task, backbone = context.task(), context.backbone()
        decoder, _, reading = load_decoder(_decoder(context, key), backbone)
        images = unlabelled_images(context)
        samples = read_labels(backbone, decoder, task, reading, images, context.settings.synthesis)
        save_labelled(task, folder, key, samples, context.paths.real / "images")

    make_unit(_unit(context, key), work)


def made(context: Context, key: str) -> Path:
    """The folder of one seed's annotations and their images, made now if it is missing."""
    run_unit(context, key)
    return _unit(context, key)


def finish(context: Context) -> StageResult:
    """Publish the annotations of all seeds, with their images."""
    units = [_unit(context, subset) for subset in subsets(context)]
    with publish_checked(context, STAGE, context.paths.pseudo) as folder:
        for unit in units:
            publish_unit(unit, folder)
    if not units:
        return StageResult()
    metrics = _metrics(context)
    name, paths = context.benchmark, context.paths
    inputs = {f"real_{name}": paths.real, f"decoders_{name}": paths.decoders}
    with record(context, STAGE, inputs=inputs, output=paths.pseudo, seconds=sum(map(unit_seconds, units))) as run:
        run.log_metrics(metrics)
    return StageResult(metrics=metrics)


def _metrics(context: Context) -> dict[str, float]:
    asked = len(unlabelled_images(context))
    metrics: dict[str, float] = {}
    for subset in subsets(context):
        accepted = count_images(context.paths.pseudo, subset)
        metrics |= {f"{subset}/images": float(accepted), f"{subset}/accepted_fraction": accepted / asked}
    return metrics


def _decoder(context: Context, subset: str) -> Path:
    folder = context.paths.decoders / str(subsets(context)[subset])
    if not folder.exists():
        raise missing(context, folder, "train_decoder")
    return folder


def _unit(context: Context, subset: str) -> Path:
    fingerprint = digest(subset, decoder_fingerprint(_decoder(context, subset)), *labelling(context))
    return context.paths.work("annotate") / fingerprint


def _check(context: Context, folder: Path) -> dict[str, int]:
    return check_accepted(context, folder, subsets(context), "unlabelled")


STAGE = Stage(
    name="annotate",
    asset="pseudo",
    description="Real images without labels, annotated by the P-Decoder; empty where no arm is trained on them.",
    upstream=(ingest.STAGE, train_decoder.STAGE),
    parameters=("task", "seeds", "synthesis", "downstream.arms"),
    uses_backbone=True,
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.pseudo,
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images, no set is empty.",
            run=_check,
        ),
    ),
)
