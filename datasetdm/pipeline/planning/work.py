"""What each unit of each stage is going to do, counted from the settings alone."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from datasetdm.arms import ARMS, P_DECODER, Training
from datasetdm.decoder.trainer import num_evaluated
from datasetdm.decoder.training_views import num_views
from datasetdm.decoder_methods import METHODS
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.rounds import cross_validation
from datasetdm.pipeline.rounds.cross_validation import folds
from datasetdm.pipeline.rounds.feedback import shortened
from datasetdm.pipeline.rounds.plan import images_of_rounds, portions
from datasetdm.pipeline.rounds.shard import reads_last_step
from datasetdm.pipeline.stages import annotate, augment, compare, train_downstream


class Measure(StrEnum):
    """What is counted, as tables say it."""

    RENDER = "images rendered"
    OPEN = "data sets opened"
    COPY = "images selected"
    ADAPT = "steps of the LoRA"
    WRITE_PROMPTS = "prompts"
    VIEW = "views"
    STEP = "iterations of the P-Decoder"
    READ = "real images read by the P-Decoder"
    DRAW = "images drawn"
    ANNOTATE = "images annotated"
    SPLICE = "images spliced"
    START = "trainings"
    TRAIN = "iterations"
    TRAIN_SPLICED = "iterations with splices"
    JUDGE = "images judged"
    FIGURE = "images in the report"
    CHECK = "images checked"


#: How often a unit does each of these.
Work = Counter[Measure]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A unit that the settings ask for.

    Attributes:
        work: what it does.
        after: what it is made of: stages, or units as `<stage>/<key>`. If one of these changes, it is made again.
    """

    work: Work
    after: frozenset[str]


def units_of(stage: str, context: Context, num_val: int) -> dict[str, Planned]:
    """The units of a stage by key, whether their inputs exist or not; a stage without units has one, named ``.

    Args:
        stage: its name.
        context: the benchmark.
        num_val: images of the data set's validation set, which are the test set where the settings give no number.
    """
    tested = (context.settings.ingest.num_test or num_val) + context.settings.ingest.num_iid
    return dict(_UNITS[stage](context, tested))


def finishing_work(stage: str, context: Context) -> Work:
    """What a stage does once its units are made: it checks what it publishes, and writes the report."""
    settings, seeds = context.settings, len(context.seeds)
    images = settings.synthesis.num_images
    spliced = len(augment.spliced_sets(context)) * settings.augmentation.num_images
    found = {
        "synthesize": Work({Measure.CHECK: images * seeds}),
        "annotate": Work({Measure.CHECK: settings.ingest.num_oracle * len(_annotated(context))}),
        "augment": Work({Measure.CHECK: spliced}),
        "compare": Work({Measure.FIGURE: images * seeds + settings.augmentation.num_images}),
    }
    return found.get(stage, Work())


def _ingest(context: Context, tested: int) -> Iterator[tuple[str, Planned]]:
    settings, sizes = context.settings, context.settings.ingest
    images = sizes.num_real * len(context.seeds) + sizes.num_dev + sizes.num_oracle + tested
    if settings.source.decoder:
        images += sizes.num_real * len(context.seeds)
    world = settings.source.miniworld
    rendered = world.num_train + world.num_val if world and not settings.source.root.exists() else 0
    yield "", _planned({Measure.RENDER: rendered, Measure.OPEN: 1, Measure.COPY: images})


def _adapt(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    settings = context.settings.adapt
    if settings is not None:
        drawn = settings.num_prior_images if settings.prior_weight else 0
        yield "lora", _planned({Measure.ADAPT: settings.steps, Measure.DRAW: drawn}, "ingest")


def _train_decoder(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    settings, trained = context.settings, METHODS[context.settings.decoder.method].trained
    chosen_by = 0 if trained else settings.ingest.num_real
    work = {
        Measure.VIEW: num_views(settings.decoder, settings.ingest.num_real) if trained else 0,
        Measure.STEP: settings.decoder.iterations if trained else 0,
        Measure.READ: num_evaluated(settings.decoder) * settings.ingest.num_dev + chosen_by,
    }
    for seed in context.seeds:
        yield str(seed), _planned(work, "ingest")


def _write_prompts(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    yield "", _planned({Measure.WRITE_PROMPTS: context.settings.prompts.num_prompts}, "ingest")


def _synthesize(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    settings = context.settings.synthesis
    number, batch = 0, settings.batch_size
    drawn_ahead = not reads_last_step(context)
    for round_, images in enumerate(images_of_rounds(settings.num_images, settings.rounds), 1):
        for part in portions(images, settings.shard_size):
            full = batch * math.ceil(len(part) / batch)  # see `full_batches`
            work = {Measure.DRAW: full if drawn_ahead else 0, Measure.ANNOTATE: full}
            yield f"shard_{number:05d}", _planned(work, "train_decoder", "write_prompts")
            number += 1
        if settings.rounds == 1:
            for fold in folds(context, ()):
                key = f"cross_validation/seed_{fold.seed}/{fold.number}"
                yield key, _planned(_fold(context), "train_decoder", "write_prompts")
        if settings.rounds > 1:
            for seed in context.seeds:
                yield f"round_{round_}/seed_{seed}", _planned(_feedback(context), "train_decoder", "write_prompts")
            yield f"round_{round_}/choice", _planned({}, "train_decoder", "write_prompts")


def _fold(context: Context) -> dict[Measure, int]:
    """A training on all folds but one, judged on dev as every training is, and what it then judges."""
    settings = context.settings.synthesis
    judged = context.settings.ingest.num_dev
    if settings.cross_validation is not None:
        judged += math.ceil(settings.num_images / settings.cross_validation.folds)
    iterations = cross_validation.shortened(context).settings.downstream.iterations
    return {Measure.START: 1, Measure.TRAIN: iterations, Measure.JUDGE: judged}


def _feedback(context: Context) -> dict[Measure, int]:
    """A training after a round: judged on dev as every training is, and then slice by slice."""
    iterations = shortened(context).settings.downstream.iterations
    judged = 2 * context.settings.ingest.num_dev
    return {Measure.START: 1, Measure.TRAIN: iterations, Measure.JUDGE: judged}


def _annotate(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    for subset in _annotated(context):
        yield subset, _planned({Measure.READ: context.settings.ingest.num_oracle}, "ingest", "train_decoder")


def _annotated(context: Context) -> Collection[str]:
    """The sets that `annotate` makes. Without data, those are left out that only a teacher of poses needs."""
    try:
        return annotate.subsets(context)
    except DatasetDMError:
        return ()


def _augment(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    settings = context.settings.augmentation
    for spliced in augment.spliced_sets(context):
        for number, part in enumerate(portions(range(settings.num_images), augment.SHARD_SIZE) or [range(0)]):
            yield f"{spliced.name}/{number}", _planned({Measure.SPLICE: len(part)}, spliced.stage)


def _train_downstream(context: Context, _: int) -> Iterator[tuple[str, Planned]]:
    for training in train_downstream.trainings(context):
        yield str(training), _planned(_training(context, training), *_made_of(training))


def _training(context: Context, training: Training) -> dict[Measure, int]:
    settings, arm = context.settings, ARMS[training.arm]
    plain = all(source.spliced_from is None for source in arm.sources) and not arm.teacher
    work = {
        Measure.START: 1,
        Measure.TRAIN if plain else Measure.TRAIN_SPLICED: settings.downstream.iterations,
        Measure.JUDGE: settings.ingest.num_dev,
    }
    if arm.teacher:
        work[Measure.JUDGE] += settings.ingest.num_oracle
        work[Measure.SPLICE] = settings.augmentation.num_images
    return work


def _made_of(training: Training) -> Iterator[str]:
    arm = ARMS[training.arm]
    yield "ingest"
    for source in arm.sources:
        # A set that changes is made again as a whole, its first shard among it.
        spliced = source.spliced_from is not None
        yield f"{source.stage}/{source.subset(training.seed)}/0" if spliced else source.stage
    if arm.teacher:
        yield from _made_of(Training(arm.teacher, training.seed))


def _compare(context: Context, tested: int) -> Iterator[tuple[str, Planned]]:
    for row in compare.rows(context):
        decoder = row.arm == P_DECODER
        made_by = "train_decoder" if decoder else f"train_downstream/{row}"
        work = {Measure.READ if decoder else Measure.JUDGE: tested}
        yield str(row), _planned(work, "ingest", made_by)


def _planned(work: Mapping[Measure, int], *after: str) -> Planned:
    return Planned(work=Work({measure: count for measure, count in work.items() if count}), after=frozenset(after))


_UNITS: Mapping[str, Callable[[Context, int], Iterator[tuple[str, Planned]]]] = {
    "ingest": _ingest,
    "adapt": _adapt,
    "train_decoder": _train_decoder,
    "write_prompts": _write_prompts,
    "synthesize": _synthesize,
    "annotate": _annotate,
    "augment": _augment,
    "train_downstream": _train_downstream,
    "compare": _compare,
}
