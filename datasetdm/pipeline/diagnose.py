"""`diagnose`: a look at a small synthetic set before a large one is made. It is not a stage: nothing builds on it.

The downstream model is trained on the first seed's data and judged on dev; each training is a unit. `real` and `both`
are the arms of the comparison, and are not trained again if they are finished. The sets that are compared link by link
(`true`, `pseudo`, `synthetic`) have the same number of images, none of them spliced.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from datasetdm.annotations.sample import Sample
from datasetdm.arms import Training
from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.pace import pace
from datasetdm.pipeline.engine.run import check_ready
from datasetdm.pipeline.engine.units import make_unit, resume_folder
from datasetdm.pipeline.stages import annotate, synthesize, train_decoder, train_downstream
from datasetdm.pipeline.training import train
from datasetdm.pipeline.unlabelled_images import save_labelled
from datasetdm.reports.diagnosis import Effort, conclude, diagnosis_text
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json, write_text
from datasetdm.utils.progress import duration, say

NUM_TRAININGS = 7  # `real`, `both`, and one on each set of `_sets`


def diagnose(context: Context, *, minutes_per_label: float) -> str:
    """Train, judge and conclude; returns the text, which is also written to `<data>/diagnosis/<benchmark>.md`.

    Its figures are written to a JSON file of the same name.

    Raises:
        DatasetDMError: there is no synthetic set yet, or no further real image to compare with, or the library of the
            downstream model is not installed.
    """
    if not context.settings.ingest.num_oracle:
        raise DatasetDMError(
            f"diagnose compares drawn images with real ones: set benchmarks.{context.benchmark}.ingest.num_oracle in "
            "params.yaml to about the number of synthetic images, and run `ingest` again. (That draws other labelled "
            "images, so that the decoder has to be trained again, too.)"
        )
    check_ready([train_downstream.STAGE], context)
    seconds = pace(train_downstream.STAGE, context)
    last = f". The last training took {duration(seconds)}." if seconds else "."
    say(
        f"diagnose {context.benchmark}: trains {NUM_TRAININGS} models on different data and judges them on dev; what "
        f"is finished is kept{last}"
    )
    sets = _sets(context)
    metric = context.task().primary_metric
    trained = {arm: train_downstream.dev_figures(context, Training(arm, context.seeds[0])) for arm in ("real", "both")}
    trained |= {name: _train(context, name, part) for name, part in sets.items()}
    figures = {name: metrics[metric] for name, metrics in trained.items()}
    effort = Effort(
        num_real=len(_samples(context, _real(context))),
        num_synthetic=len(_samples(context, _synthetic(context))),
        minutes_per_label=minutes_per_label,
        compute_seconds=train_decoder.seconds_spent(context, context.seeds[0]) + synthesize.seconds_spent(context),
    )
    verdict = conclude(metric, figures, effort, _objects_per_image(context, sets["synthetic"]))
    text = diagnosis_text(context.benchmark, verdict, effort)
    file = context.paths.diagnosis
    write_json(file.with_suffix(".json"), verdict)
    write_text(file, text)
    return text


def _sets(context: Context) -> dict[str, Labelled]:
    """The annotated sets; those of the links cut to the same number of images, halves of `real` and `synthetic`."""
    real, synthetic = _real(context), _synthetic(context)
    true, pseudo = Labelled(folder=context.paths.real, subset="oracle"), _pseudo(context)
    count = min(len(_samples(context, part)) for part in (true, pseudo, synthetic))
    return {
        "real_half": _some(context, real, len(_samples(context, real)) // 2),
        "synthetic": _some(context, synthetic, count),
        "synthetic_half": _some(context, synthetic, count // 2),
        "pseudo": _some(context, pseudo, count),
        "true": _some(context, true, count),
    }


def _real(context: Context) -> Labelled:
    return Labelled(folder=context.paths.real, subset=f"few_shot_{context.seeds[0]}")


def _synthetic(context: Context) -> Labelled:
    part = Labelled(folder=context.paths.synthetic, subset=f"seed_{context.seeds[0]}")
    if not part.annotation_file.exists():
        raise missing(context, part.annotation_file, "synthesize")
    return part


def _pseudo(context: Context) -> Labelled:
    """The further real images as the P-Decoder annotates them: the unit of `annotate`, even if no arm needs it."""
    with_pseudo, subset = context.with_settings("experiment", arms=("pseudo",)), f"seed_{context.seeds[0]}"
    unit = annotate.STAGE.plan(with_pseudo)[subset]
    annotate.make(with_pseudo, unit)
    return Labelled(folder=unit.folder, subset=subset)


def _samples(context: Context, part: Labelled) -> Sequence[Sample]:
    return standard_format(*context.task().kind).load(part.folder, part.subset)


def _objects_per_image(context: Context, synthetic: Labelled) -> dict[str, float]:
    """Of the real and of a synthetic set; nothing if the task has no separate objects."""
    means = {}
    for name, part in (("real", _real(context)), ("synthetic", synthetic)):
        labels = [sample.target.object_labels() for sample in _samples(context, part)]
        counts = [len(found) for found in labels if found is not None]
        if counts:
            means[name] = fmean(counts)
    return means


def _some(context: Context, part: Labelled, count: int) -> Labelled:
    """Any `count` images of a set, as another set; not the first, which may all come from one place."""
    if count == 0:
        raise DatasetDMError(
            f"{part.annotation_file} holds too few images to compare anything: raise synthesis.num_images or lower "
            "synthesis.filter.score_threshold in params.yaml."
        )
    samples = _samples(context, part)
    chosen = sorted(np.random.default_rng(0).permutation(len(samples))[:count].tolist())
    unit = context.paths.work("diagnose") / digest(
        annotated_set(part.folder, part.subset), chosen, context.settings.task
    )

    def work(folder: Path) -> None:
        save_labelled(context.task(), folder, part.subset, (samples[index] for index in chosen), part.images_dir)

    make_unit(unit, work)
    return Labelled(folder=unit, subset=part.subset)


def _train(context: Context, training: str, part: Labelled) -> dict[str, float]:
    """Dev figures of the downstream model trained on this set with the first seed."""
    seed = context.seeds[0]
    data = [*annotated_set(part.folder, part.subset), part.weight]
    unit = context.paths.work("diagnose") / digest(train_downstream.fingerprint(context), seed, data)

    def work(folder: Path) -> None:
        say(f"diagnose {context.benchmark}: {training}")
        train(context, [part], seed, folder, resume=resume_folder(unit))

    make_unit(unit, work)
    figures: dict[str, float] = read_json(unit / "metrics.json", remedy="Remove it; it is made again.")
    return figures
