"""Ingestion: a few labelled images, a dev set, an oracle set and the test sets, out of a data set's native layout.

Few-shot, dev and oracle come out of the training images and do not overlap; test is the validation set. Dev, oracle
and test are plain random draws, the same for all seeds, so that they look like the data set; each seed has a few-shot
set of its own, chosen so that every category is as evenly represented as the images allow. A second test set, `iid`,
is drawn from the training images that are left: validation images may be of another kind, as the miniworld's are.
"""

import filecmp
import hashlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from datasetdm import config, miniworld
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.naming import check_same, rename, tell_apart
from datasetdm.datasets.native import NATIVE_FORMATS
from datasetdm.datasets.object_counts import check_drawn, check_losses, without_example
from datasetdm.datasets.selection import select, select_long_tail, split_off_dev
from datasetdm.datasets.split import Split
from datasetdm.datasets.standard.coco_records import Rejection
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.exports import EXPORTS
from datasetdm.prompts.english import counted
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.utils.files import read_json, remove_leftovers, replacing, write_json

_STAMP = "miniworld.json"
_SHOWN = 5
# Longer to shorter side. A detector trains at half its image size and more: at 64 pixels the shorter side still has a
# pixel up to a ratio of 64, and a splice of two images side by side has twice their ratio.
_LARGEST_RATIO = 25


class _Unusable(DatasetDMError):
    """Images of one set that cannot be used."""


@dataclass(frozen=True)
class _Subset:
    """A set of images: the split it comes from, the chosen ones, the seed of its captions.

    whole: whether the annotations are written as they are, or as `Task.shown` leaves them.
    prefix: of the images' names, where two data sets may use the same.
    """

    split: Split
    indices: Sequence[int]
    seed: int
    whole: bool
    prefix: str = ""


def ingest(
    source: config.DataSource,
    settings: config.Ingest,
    task_settings: config.TaskSettings,
    seeds: Sequence[int],
    out: Path,
) -> dict[str, int | float]:
    """Write the standard layout of a benchmark's real data.

    `out/images/` (files copied as they are, their names preceded by that of their native folder),
    `out/annotations/{few_shot_<seed>, dev, oracle, iid, test}.json`, `out/categories.json` and `out/ingest.json`.
    Captions are the data set's own (where there are several, one by seed), else "a photo of a ..., a ...".
    Memory holds the records of the annotation files and, at a time, one image and one mask.

    `ingest.json` has, for every task and for each set (`few_shot_<seed>`, `dev`, ..., `test`), a block of
        images: number of images; images_without_objects and captions_written_here: of these.
        objects: annotated objects that are used; where the task does not tell objects apart (semantic maps, scenes of
            depth), pairs of an image and a category in it, the background aside.
        objects_per_category: {name: number of these}, with every category of `categories.json`, be it with 0. What
            `task.unseen` hides from the decoder is counted.
        crowds, boxes_only: regions that are passed over, see `Tally`.
        rejected_by_reason: {reason: objects that are left out}; rejected: each of them, and each part of an object
            (`partly`), as a `Rejection`.

    Args:
        source: where the real data lie; the miniworld is rendered there first where it stands in for them. With
            `source.decoder`, sets `decoder_<seed>` of as many images come from there.
        settings: how many images of each set.
        task_settings: what is annotated.
        seeds: one few-shot set each.
        out: an empty or missing folder.

    Returns:
        Number of images per set, categories, the fewest few-shot objects of any category that a prompt may name,
        and how many such categories have none for some seed.

    Raises:
        DatasetDMError: no or broken data, fewer images than asked for, images that cannot be used (all of them are
            counted), categories that read the same, more objects lost than `ingest.max_lost` allows.
    """
    train, val = _open(source, "train"), _open(source, "val")
    check_same(train, val, "Give both the same categories; order and `supercategory` do not matter.")
    val.categories = train.categories
    decoder = _open(source.decoder, "train") if source.decoder else None
    check_losses([train, val] + ([] if decoder is None else [decoder]), settings.max_lost)
    task = build_task(task_settings, train.categories)
    subsets = _draw_subsets(train, val, settings, task, seeds, source.root)
    if decoder is not None:
        subsets |= _decoder_subsets(decoder, train, settings, task, seeds)
    figures = _write_subsets(task, subsets, out)
    check_drawn(figures, settings.max_lost)
    write_json(out / "categories.json", [asdict(category) for category in train.categories])
    write_json(out / "ingest.json", figures)
    named = [category.name for category in task.subjects]
    few_shot = [figures[f"few_shot_{seed}"]["objects_per_category"] for seed in seeds]
    return {
        **{f"{name}_images": figure["images"] for name, figure in figures.items()},
        "categories": len(train.categories),
        "fewest_few_shot_objects": min((counts[name] for counts in few_shot for name in named), default=0),
        "categories_without_example": len(without_example(figures, named)),
        "rejected_annotations": sum(len(figure["rejected"]) for figure in figures.values()),
    }


def _open(source: config.Source, split: Literal["train", "val"]) -> Split:
    if source.miniworld:
        render_miniworld(source.root, source.format, source.miniworld)
    opened = NATIVE_FORMATS[source.format](source.root, split)
    opened.crowds = source.crowds
    opened.categories = rename(opened, source.names)
    return tell_apart(opened, merge=source.merge_same_names)


def check_no_leak(folder: Path) -> dict[str, int]:
    """Check that no image of a test set (test, iid) is in another set, and no dev image in a few-shot or oracle set.

    Images are compared by name and by the content of their files.

    Returns:
        How many images were compared, per set.

    Raises:
        DatasetDMError: an image is in two sets that must not share one.
    """
    images = {file.stem: _image_names(file) for file in sorted((folder / "annotations").glob("*.json"))}
    digests = {name: _digest(folder / "images" / name) for name in sorted(set().union(*images.values()))}
    for held_out, apart in (("test", {"test"}), ("iid", {"iid"}), ("dev", {"dev", "test", "iid"})):
        twin_of = {digests[name]: name for name in images.get(held_out, ())}
        for reader in sorted(images.keys() - apart):
            for name in sorted(images[reader]):
                if digests[name] in twin_of:
                    raise DatasetDMError(
                        f"{name} of the set '{reader}' is the same image as {twin_of[digests[name]]} of the "
                        f"set '{held_out}', which must be held out. Remove one of the two from the source's "
                        "annotation file and ingest again."
                    )
    return {subset: len(names) for subset, names in images.items()}


def render_miniworld(root: Path, layout: str, settings: config.Miniworld) -> None:
    """Export the miniworld to `root` in a native layout, unless exactly that lies there already.

    A stamp beside the data tells the arguments and the renderer's sources, so that a changed renderer renders anew.

    Raises:
        DatasetDMError: `root` holds files that are no such export; they are not touched.
    """
    arguments = settings.model_dump()
    wanted = {"layout": layout, "arguments": arguments, "renderer": _source_digest(Path(miniworld.__file__).parent)}
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):  # several benchmarks may share one root
        stamp = root / _STAMP
        if stamp.exists():
            if read_json(stamp, remedy=f"Remove the folder {root}; it is rendered anew.") == wanted:
                return
        elif root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise DatasetDMError(
                f"{root} holds files that are not the miniworld's, and they are not overwritten. If they are your own "
                "data set, remove `source.miniworld` in params.yaml; otherwise set `source.root` to another folder."
            )
        remove_leftovers(root)
        with replacing(root) as folder:
            EXPORTS[layout](folder, **arguments)
            write_json(folder / _STAMP, wanted)


def _draw_subsets(
    train: Split, val: Split, settings: config.Ingest, task: Task, seeds: Sequence[int], root: Path
) -> dict[str, _Subset]:
    """The sets by name."""
    asked = settings.num_real + settings.num_dev + settings.num_oracle
    if asked > len(train):
        raise DatasetDMError(
            f"{root} has {len(train)} training images, but {asked} are asked for: `ingest.num_real` "
            f"{settings.num_real} + `num_dev` {settings.num_dev} + `num_oracle` {settings.num_oracle}. Lower these in "
            "params.yaml, or add images (`source.miniworld.num_train` where the miniworld stands in for data)."
        )
    num_test = len(val) if settings.num_test is None else settings.num_test
    if num_test > len(val):
        raise DatasetDMError(
            f"{root} has {len(val)} validation images, but {num_test} are asked for: lower `ingest.num_test` in "
            "params.yaml (or leave it out to take them all), or raise `source.miniworld.num_val`."
        )
    dev, rest = split_off_dev(train, settings, root)
    oracle = rest[: settings.num_oracle]
    reserved = set(range(len(train))) - set(rest[settings.num_oracle :])
    subsets = {
        f"few_shot_{seed}": _Subset(train, _few_shot(train, settings, task, seed, reserved), seed, whole=False)
        for seed in seeds
    }
    subsets["dev"] = _Subset(train, sorted(dev), 0, whole=False)
    if oracle:
        subsets["oracle"] = _Subset(train, sorted(oracle), 0, whole=True)
    if settings.num_iid:
        taken = {index for subset in subsets.values() for index in subset.indices}
        subsets["iid"] = _iid_subset(train, [index for index in rest if index not in taken], settings.num_iid, root)
    test = sorted(np.random.default_rng(0).permutation(len(val))[:num_test].tolist())
    return subsets | {"test": _Subset(val, test, 0, whole=True)}


def _iid_subset(train: Split, free: Sequence[int], count: int, root: Path) -> _Subset:
    """The second test set, out of images that no other set takes, in random order."""
    if count > len(free):
        raise DatasetDMError(
            f"{root} has {len(free)} training images that no other set takes, but {count} are asked for: lower "
            "`ingest.num_iid` in params.yaml, or add images (`source.miniworld.num_train` where it stands in for data)."
        )
    return _Subset(train, sorted(free[:count]), 0, whole=True)


def _decoder_subsets(
    split: Split, own: Split, settings: config.Ingest, task: Task, seeds: Sequence[int]
) -> dict[str, _Subset]:
    """Sets for the decoder alone, out of another data set with the same annotation as the benchmark's `own`."""
    if task.words:
        remedy = (
            "The decoder (`source.decoder`) has to be trained on the categories that it is to find; "
            "`source.decoder.names` gives them other names."
        )
        check_same(own, split, remedy)
    return {
        f"decoder_{seed}": _Subset(
            split, _few_shot(split, settings, task, seed, ()), seed, whole=False, prefix="decoder_"
        )
        for seed in seeds
    }


def _few_shot(train: Split, settings: config.Ingest, task: Task, seed: int, exclude: Collection[int]) -> list[int]:
    if settings.tail_images is None:
        return select(train, settings.num_real, seed=seed, exclude=exclude)
    return select_long_tail(
        train, settings.num_real, rare=task.rare, rare_images=settings.tail_images, seed=seed, exclude=exclude
    )


def _write_subsets(task: Task, subsets: dict[str, _Subset], out: Path) -> dict[str, dict[str, Any]]:
    """The content of `ingest.json`; images that cannot be used are told for all sets at once."""
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


def _write_subset(task: Task, chosen: _Subset, out: Path, name: str) -> dict[str, Any]:
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

    task.save(out, name, samples())
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


def _standard_sample(chosen: _Subset, index: int, task: Task) -> tuple[Sample, tuple[int, ...]]:
    """The sample with a caption, a name that is unique among all sets, and an id above 0; the labels of its objects."""
    split = chosen.split
    sample = split.compact(index)
    _check_shape(split.path_of(index), sample)
    labels = task.labels_in(sample.target)  # without those that the list of annotations has, but that cover no pixel
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


def _image_names(annotation_file: Path) -> set[str]:
    content = read_json(annotation_file, remedy="Ingest again.")
    return {image["file_name"] for image in content["images"]}


def _digest(image: Path) -> str:
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError:
        raise DatasetDMError(f"{image} is missing or cannot be read, though an annotation file lists it.") from None


def _source_digest(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
