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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from datasetdm import config, miniworld
from datasetdm.errors import DatasetDMError
from datasetdm.formats import NATIVE_FORMATS, Split
from datasetdm.formats.files import read_json, remove_leftovers, replacing, write_json
from datasetdm.formats.semantic_png import BACKGROUND
from datasetdm.miniworld.exports import EXPORTS
from datasetdm.prompts.english import counted
from datasetdm.selection import select, select_long_tail, split_off_dev
from datasetdm.structures import Category, Sample
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task

_STAMP = "miniworld.json"
_SHOWN = 5


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
    `out/annotations/{few_shot_<seed>, dev, oracle, iid, test}.json`, `out/categories.json` and `out/ingest.json`
    (counts per set and category, annotations left out and why). Captions are the data set's own (where there are
    several, one by seed), else "a photo of a ..., a ...".

    Args:
        source: where the real data lie; the miniworld is rendered there first where it stands in for them. With
            `source.decoder`, sets `decoder_<seed>` of as many images come from there.
        settings: how many images of each set.
        task_settings: what is annotated.
        seeds: one few-shot set each.
        out: an empty or missing folder.

    Returns:
        Number of images per set, categories, and the fewest few-shot objects of any category.

    Raises:
        DatasetDMError: no or broken data, fewer images than asked for, images that cannot be read.
    """
    train, val = _open(source, "train"), _open(source, "val")
    if train.categories != val.categories:
        raise DatasetDMError(
            f"{train.annotation_file} and {val.annotation_file} list different categories: they do not belong together."
        )
    task = build_task(task_settings, train.categories)
    subsets = _draw_subsets(train, val, settings, task, seeds, source.root)
    if source.decoder:
        subsets |= _decoder_subsets(_open(source.decoder, "train"), settings, task, seeds)
    figures = {name: _write_subset(task, subset, out, name) for name, subset in subsets.items()}
    write_json(out / "categories.json", [asdict(category) for category in train.categories])
    write_json(out / "ingest.json", figures)
    few_shot = [figures[f"few_shot_{seed}"]["objects_per_category"].values() for seed in seeds]
    return {
        **{f"{name}_images": figure["images"] for name, figure in figures.items()},
        "categories": len(train.categories),
        "fewest_few_shot_objects": min(min(counts) for counts in few_shot),
        "rejected_annotations": sum(len(figure["rejected"]) for figure in figures.values()),
    }


def _open(source: config.Source, split: Literal["train", "val"]) -> Split:
    if source.miniworld:
        render_miniworld(source.root, source.format, source.miniworld)
    opened = NATIVE_FORMATS[source.format](source.root, split)
    opened.categories = rename(opened, source.names)
    return opened


def rename(split: Split, names: Mapping[str, str]) -> tuple[Category, ...]:
    """The categories of a split, some by another name; ids and order stay.

    Raises:
        DatasetDMError: a name that the split does not have, or one that two categories would have; the background.
    """
    if BACKGROUND in {*names, *names.values()}:
        raise DatasetDMError("`source.names` in params.yaml has the background, which no prompt names: leave it out.")
    own = [category.name for category in split.categories]
    if unknown := sorted(names.keys() - set(own)):
        raise DatasetDMError(
            f"`source.names` in params.yaml renames {', '.join(unknown)}, but {split.annotation_file} has no such "
            f"category. It has: {', '.join(own)}."
        )
    renamed = tuple(replace(category, name=names.get(category.name, category.name)) for category in split.categories)
    nouns = Counter(category.noun for category in renamed)
    if twice := [noun for noun in names.values() if nouns[noun] > 1]:
        raise DatasetDMError(
            f"`source.names` in params.yaml makes two categories of {split.annotation_file} a {twice[0]!r}, which a "
            "prompt could not tell apart: choose another name for one of them."
        )
    return renamed


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


def _decoder_subsets(split: Split, settings: config.Ingest, task: Task, seeds: Sequence[int]) -> dict[str, _Subset]:
    """Sets for the decoder alone, out of another data set with the same annotation."""
    if task.words and split.categories != task.categories:
        raise DatasetDMError(
            f"{split.annotation_file} (`source.decoder`) has other categories than the benchmark's own data: the "
            "decoder has to be trained on those that it is to find. (`source.decoder.names` gives them other names.)"
        )
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


def _write_subset(task: Task, chosen: _Subset, out: Path, name: str) -> dict[str, Any]:
    """Copy the images and write the annotations of one set; returns its part of `ingest.json`."""
    split = chosen.split
    objects: Counter[int] = Counter()
    figures: Counter[str] = Counter()
    rejected: list[dict[str, Any]] = []
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
            rejected.extend(asdict(rejection) for rejection in split.rejections_of(index))
            yield sample
        if unusable:  # all of them at once; raised here, so that no annotation file appears
            raise DatasetDMError(
                f"{len(unusable)} of the {len(chosen.indices)} images chosen for the set '{name}' cannot be used. "
                + " ".join(unusable[:_SHOWN])
                + (f" And {len(unusable) - _SHOWN} more." if len(unusable) > _SHOWN else "")
            )

    task.save(out, name, samples())
    if task.words and not objects:
        raise DatasetDMError(
            f"{split.annotation_file} has no annotation that could be used for any of the {len(chosen.indices)} images "
            f"of the set '{name}': is it the file with the labels?"
        )
    return {
        "images": len(chosen.indices),
        "objects": objects.total(),
        "images_without_objects": figures["images_without_objects"],
        "captions_written_here": figures["captions_written_here"],
        "objects_per_category": {category.name: objects[label] for label, category in enumerate(split.categories)},
        "rejected": rejected,
    }


def _standard_sample(chosen: _Subset, index: int, task: Task) -> tuple[Sample, tuple[int, ...]]:
    """The sample with a caption, a name that is unique among all sets, and an id above 0; the labels of its objects."""
    split = chosen.split
    sample = split[index]
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
