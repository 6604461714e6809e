"""The chosen images in the standard layout: files copied, annotations and captions written, objects counted."""

import filecmp
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.split import Rejection
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.ingestion.subsets import Subset
from datasetdm.prompts.english import counted
from datasetdm.tasks.base import Task
from datasetdm.utils.files import replacing

_SHOWN = 5
# Longer to shorter side. A detector trains at half its image size and more: at 64 pixels the shorter side still has a
# pixel up to a ratio of 64, and a splice of two images side by side has twice their ratio.
_LARGEST_RATIO = 25


class _Unusable(DatasetDMError):
    """Images of one set that cannot be used."""


def write_subsets(task: Task, subsets: dict[str, Subset], out: Path) -> dict[str, dict[str, Any]]:
    """The content of `ingest.json`; one error lists the images of all sets that cannot be used."""
    figures: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for name, subset in subsets.items():
        try:
            figures[name] = _write_subset(task, subset, out, name)
        except _Unusable as error:
            problems.append(str(error))
    if problems:
        raise DatasetDMError(" ".join(problems))
    return figures


def _write_subset(task: Task, chosen: Subset, out: Path, name: str) -> dict[str, Any]:
    """Copy the images and write the annotations of one set; returns its part of `ingest.json`."""
    split = chosen.split
    objects: Counter[int] = Counter()
    figures: Counter[str] = Counter()
    rejected: list[Rejection] = []
    unusable: list[str] = []

    def samples() -> Iterator[Sample]:
        for index in chosen.indices:
            try:
                sample, labels = _standard_sample(chosen, index, task)
            except DatasetDMError as error:
                unusable.append(str(error))
                continue
            if not chosen.whole:
                sample = replace(sample, target=task.shown(sample.target))
            _copy(split.path_of(index), out / "images" / sample.name)
            objects.update(labels)
            figures["images_without_objects"] += not labels
            figures["captions_written_here"] += not split.captions_of(index)
            tally = split.tally_of(index)
            figures.update(crowds=tally.crowds, boxes_only=tally.boxes_only)
            rejected.extend(split.rejections_of(index))
            yield sample
        if unusable:  # all of them at once; raised here, so that no annotation file appears
            raise _Unusable(
                f"{len(unusable)} of the {len(chosen.indices)} images chosen for the set '{name}' cannot be used. "
                + " ".join(unusable[:_SHOWN])
                + (f" And {len(unusable) - _SHOWN} more." if len(unusable) > _SHOWN else "")
            )

    standard_format(*task.kind).save(out, name, samples())
    if task.words and not objects:
        raise DatasetDMError(
            f"{split.annotation_file} has no annotation that could be used for any of the {len(chosen.indices)} images "
            f"of the set '{name}': {_what_there_is(figures, rejected)}"
        )
    return {
        "images": len(chosen.indices),
        "objects": objects.total(),
        "images_without_objects": figures["images_without_objects"],
        "captions_written_here": figures["captions_written_here"],
        "objects_per_category": {category.name: objects[label] for label, category in enumerate(split.categories)},
        "crowds": figures["crowds"],
        "boxes_only": figures["boxes_only"],
        "rejected_by_reason": dict(Counter(item.reason for item in rejected if not item.partly)),
        "rejected": [asdict(item) for item in rejected],
    }


def _what_there_is(figures: Counter[str], rejected: Sequence[Rejection]) -> str:
    """What was found instead of usable objects."""
    reasons = Counter(item.reason for item in rejected)
    found = [
        f"{figures['crowds']} crowd regions (`source.crowds: as_objects` makes them objects)",
        f"{figures['boxes_only']} boxes without masks",
        *(f"{count} that are left out ({reason})" for reason, count in reasons.items()),
    ]
    found = [text for text in found if not text.startswith("0 ")]
    return f"there are {', '.join(found)}." if found else "there are none at all. Is it the file with the labels?"


def _standard_sample(chosen: Subset, index: int, task: Task) -> tuple[Sample, tuple[int, ...]]:
    """The sample with a caption, a name that is unique among all sets, and an id above 0; the labels of its objects."""
    split = chosen.split
    sample = split.compact(index)
    _check_shape(split.path_of(index), sample)
    labels = sample.target.object_labels()  # without those that the list of annotations has, but that cover no pixel
    if labels is None:
        labels = split.labels_of(index)
    named = [split.categories[label] for label in dict.fromkeys(labels)]
    captions = split.captions_of(index) or (_plain_caption([one for one in named if one in task.subjects]),)
    rng = np.random.default_rng([chosen.seed, split.id_of(index)])
    standard = replace(
        sample,
        name=chosen.prefix + split.name_of(index),
        caption=captions[int(rng.integers(len(captions)))],
        image_id=split.id_of(index),
    )
    return standard, labels


def _check_shape(path: Path, sample: Sample) -> None:
    """Refuse an image so thin that training could not take it."""
    shorter, longer = sorted(sample.image.shape[:2])
    if longer > _LARGEST_RATIO * shorter:
        raise DatasetDMError(
            f"{path} is {sample.image.shape[1]} x {sample.image.shape[0]} pixels: its sides differ by more than "
            f"{_LARGEST_RATIO} to 1, which leaves nothing of the shorter one at the size that models are trained at. "
            "Cut it into pieces together with its annotation, or take it out of the annotation file."
        )


def _plain_caption(named: Sequence[Category]) -> str:
    """`a photo of a dog, a car`: every category once, in order of appearance."""
    things = ", ".join(counted(1, category.noun) for category in named)
    return f"a photo of {things}" if things else "a photo"


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    elif not filecmp.cmp(source, target, shallow=False):
        raise DatasetDMError(f"{source} would be named {target.name} here, as another image is: rename one of the two.")
