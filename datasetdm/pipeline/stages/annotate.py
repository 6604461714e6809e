"""Stage `annotate`: real images that have no labels, annotated by the P-Decoder; a unit is one seed's decoder.

The arm `pseudo` is trained on them. Where `synthetic` is better, drawing images was worth it, and not only reading
annotations off the diffusion model. So everything but the images is the same: decoder, acceptance, splicing (by
`augment`), training. The captions are the prompts, as in the evaluation of the decoder; where a data set has none,
`ingest` wrote them from the labels, as the synthetic images' prompts name what they show.

If no arm needs them, nothing is annotated.
"""

from collections.abc import Iterator
from pathlib import Path

from datasetdm.arms import ARMS
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.pipeline.annotated_sets import AnnotatedSets, check_accepted, describe_sets
from datasetdm.pipeline.calibrated import WORK, calibration_units, depends_on, label_filter
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, publish_unit, unit_times
from datasetdm.pipeline.experiment_log import log_result, logged_run
from datasetdm.pipeline.image_archives import has_images, pack_images, restore_images
from datasetdm.pipeline.stages import adapt, ingest, train_decoder
from datasetdm.pipeline.unlabelled_images import labelling, save_labelled, unlabelled_images
from datasetdm.synthesis.pseudo_labels import read_labels

CODE_VERSION = "1"


def subsets(context: Context) -> dict[str, int]:
    """Annotation file -> seed of the decoder; none if no arm needs them.

    A teacher that looks at given boxes needs them too: it gets those that the P-Decoder has found, as nobody has the
    true ones.
    """
    arms = [ARMS[name] for name in context.settings.experiment.arms]
    needed = any(arm.uses("pseudo") or (arm.teacher and context.task().uses_prompt_boxes) for arm in arms)
    return {f"seed_{seed}": seed for seed in context.seeds} if needed else {}


def units(context: Context) -> Iterator[Unit]:
    """The annotation files, each a unit whose payload is the decoder's folder."""
    wanted = subsets(context)
    images = labelling(context) if wanted else ()
    for subset, seed in wanted.items():
        decoder = context.paths.decoders / str(seed)
        if not decoder.exists():
            raise missing(context, decoder, "train_decoder")
        folder = STAGE.folder(context, subset, decoder_fingerprint(decoder), *images, *depends_on(context))
        yield Unit(key=subset, folders=(folder,), payload=decoder)


def make(context: Context, unit: Unit) -> None:
    """Annotate all images with the decoder of one seed."""
    wanted = subsets(context)

    def work(folder: Path) -> None:
        task, backbone = context.task(), context.backbone()
        decoder, _, reading = load_decoder(unit.payload, backbone)
        images = unlabelled_images(context)
        accepting = label_filter(context, wanted[unit.key]), context.settings.synthesis.filter
        samples = read_labels(backbone, decoder, task, reading, images, *accepting)
        save_labelled(task, folder, unit.key, samples, context.paths.real / "images")

    make_unit(unit.folder, work)


def finish(context: Context, plan: Plan) -> StageResult:
    """Publish the annotations of all seeds, with their images."""
    with publish_checked(STAGE, context) as folder:
        for unit in plan:
            publish_unit(unit.folder, folder)
        pack_images(folder)
    if not len(plan):
        arms = ", ".join(context.settings.experiment.arms)
        return StageResult(empty=f"None of the arms in `experiment.arms` ({arms}) is trained on images labelled here.")
    result = StageResult(metrics=_metrics(context, plan))
    name, paths = context.benchmark, context.paths
    inputs = {f"real_{name}": paths.real, f"decoders_{name}": paths.decoders}
    times = unit_times(plan.folders)
    with logged_run(context, STAGE, inputs=inputs, output=paths.pseudo, times=times) as run:
        return log_result(run, result)


def _metrics(context: Context, plan: Plan) -> dict[str, float]:
    sets = AnnotatedSets()
    available = sets.count(context.paths.real, "oracle")
    metrics: dict[str, float] = {}
    for unit in plan:
        accepted = sets.count(context.paths.pseudo, unit.key)
        metrics |= {f"{unit.key}/images": float(accepted), f"{unit.key}/accepted_fraction": accepted / available}
    return metrics


def _check(context: Context, folder: Path) -> dict[str, int]:
    return check_accepted(context, folder, subsets(context), "unlabelled")


STAGE: Stage[Context] = Stage(
    name="annotate",
    asset="pseudo",
    description="Real images without labels, annotated by the P-Decoder; empty if no arm is trained on them.",
    upstream=(ingest.STAGE, adapt.STAGE, train_decoder.STAGE),
    parameters=("task", "seeds", "synthesis.filter", "experiment.arms"),
    shared_parameters=("backbone",),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    further_work=(WORK,),
    rests_on=lambda context, plan: calibration_units(context) if len(plan) else (),
    finish=finish,
    is_whole=has_images,
    restore=restore_images,
    output=lambda context: context.paths.pseudo,
    describe=lambda context, folder: describe_sets(folder),
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images, no set is empty.",
            run=_check,
        ),
    ),
)
