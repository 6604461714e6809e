"""The filter of each seed's P-Decoder: with thresholds set by hand, or calibrated on dev (`target_precision`)."""

from pathlib import Path
from pkgutil import resolve_name

from datasetdm.calibration.calibration import CalibratedFilter, Calibration, Judged, calibrate
from datasetdm.calibration.judges import Judge
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.errors import DatasetDMError
from datasetdm.filters import build_filter
from datasetdm.filters.base import Filter
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.prompts.mentions import asked_counts
from datasetdm.task_parts import TASKS
from datasetdm.utils.digests import digest
from datasetdm.utils.files import write_text
from datasetdm.utils.progress import say

CODE_VERSION = "1"
FILE = "calibration.json"
WORK = "calibrate"  # folder of the units
CALIBRATIONS = "calibration"  # folder of a published set


def decoder_folder(context: Context, seed: int) -> Path:
    """The published P-Decoder of a seed.

    Raises:
        DatasetDMError: it is missing.
    """
    folder = context.paths.decoders / str(seed)
    if not folder.exists():
        raise missing(context, folder, "train_decoder")
    return folder


def label_filter(context: Context, seed: int) -> Filter:
    """What decides which labels of the P-Decoder of a seed become training data.

    Raises:
        DatasetDMError: the precision that the settings ask for cannot be promised.
    """
    plain = build_filter(*context.task().kind)
    found = calibration(context, seed)
    if found is None:
        return plain
    if found.chosen is None:
        raise DatasetDMError(_no_promise(context, found))
    return CalibratedFilter(plain, judge_of(context), found.curve, found.chosen.threshold)


def calibration(context: Context, seed: int) -> Calibration | None:
    """What dev says of the P-Decoder of a seed; computed once. None: thresholds are set by hand."""
    if context.settings.synthesis.filter.target_precision is None:
        return None
    unit = _unit(context, seed)
    make_unit(unit, lambda made: write_text(made / FILE, _calibrate(context, seed).to_json()))
    return Calibration.from_json((unit / FILE).read_text())


def calibration_units(context: Context) -> list[Path]:
    """Where the calibrations of all seeds are or will be; none if thresholds are set by hand."""
    by_hand = context.settings.synthesis.filter.target_precision is None
    return [] if by_hand else [_unit(context, seed) for seed in context.seeds]


def _unit(context: Context, seed: int) -> Path:
    settings, folder = context.settings.synthesis.filter, decoder_folder(context, seed)
    parts = (context.settings.task, settings, decoder_fingerprint(folder), context.backbone().fingerprint, seed)
    return context.paths.work(WORK) / digest(*parts, *depends_on(context))


def publish_calibrations(context: Context, folder: Path) -> None:
    """Write what dev says of each seed's P-Decoder into `folder/calibration/`.

    Nothing is written if thresholds are set by hand.
    """
    for seed in context.seeds:
        if found := calibration(context, seed):
            write_text(folder / CALIBRATIONS / f"seed_{seed}.json", found.to_json())


def published_calibrations(folder: Path) -> dict[str, Calibration]:
    """What `publish_calibrations` wrote: the name of the set -> its calibration."""
    files = sorted((folder / CALIBRATIONS).glob("*.json"))
    return {file.stem: Calibration.from_json(file.read_text()) for file in files}


def depends_on(context: Context) -> list[str]:
    """What accepted labels depend on besides decoder and settings; nothing if thresholds are set by hand."""
    if context.settings.synthesis.filter.target_precision is None:
        return []
    return [CODE_VERSION, AnnotatedSets().identity(context.paths.real, "dev")]


def judged_images(context: Context, seed: int, subset: str) -> list[Judged]:
    """The images of a set of the real data, with what the P-Decoder of a seed finds in them and what is true.

    Args:
        context: the benchmark.
        seed: of the decoder.
        subset: such as `dev`.
    """
    task, backbone = context.task(), context.backbone()
    decoder, _, reading = load_decoder(decoder_folder(context, seed), backbone)
    samples = list(standard_format(*task.kind).load(context.paths.real, subset))
    pixels, captions = [sample.image for sample in samples], [sample.caption for sample in samples]
    found = predict_images(backbone, decoder, task, pixels, captions, reading)
    return [
        Judged(
            prediction=prediction,
            truth=task.shown(sample.target),
            asked=asked_counts(sample.caption, task.words),
        )
        for sample, prediction in zip(samples, found, strict=True)
    ]


def judge_of(context: Context) -> Judge:
    """The judge of the benchmark's task, whose decoder gives scores."""
    task = context.task()
    name = TASKS[task.name].judge
    assert name is not None  # the settings were checked
    judge: Judge = resolve_name(name)(task.categories)
    return judge


def _calibrate(context: Context, seed: int) -> Calibration:
    say(f"calibrating the scores of the P-Decoder of seed {seed} on dev")
    settings = context.settings.synthesis.filter
    images = judged_images(context, seed, "dev")
    return calibrate(judge_of(context), build_filter(*context.task().kind), images, settings, seed=seed)


def _no_promise(context: Context, found: Calibration) -> str:
    passing = [trial for trial in found.trials if trial.images]
    best = max(passing, key=lambda trial: trial.precision, default=None)
    seen = f"none of {found.tested} dev images passes"
    if best:
        right = f"{100 * best.precision:.0f} % of their labels right"
        seen = f"at best {best.images} of {found.tested} dev images pass, with {right}"
    return (
        f"synthesis.filter.target_precision of {context.benchmark} is {found.target_precision:g}, which no threshold "
        f"keeps with a confidence of {found.confidence:g}: {seen}. Promise less, add dev images (ingest.num_dev), "
        "train the decoder for longer, or set synthesis.filter.score_threshold instead."
    )
