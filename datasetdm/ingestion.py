"""Ingestion: a few labelled images, a dev set, an oracle set and the test set, out of a data set's native layout.

Few-shot, dev and oracle come out of the training images and do not overlap; test is the validation set. Dev, oracle
and test are plain random draws, the same for all seeds, so that they look like the data set; each seed has a few-shot
set of its own, chosen so that every category is as evenly represented as the images allow.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasetdm import config, miniworld
from datasetdm.errors import DatasetDMError
from datasetdm.formats.coco import CocoSplit, save_coco
from datasetdm.formats.files import read_json, replacing, write_json
from datasetdm.formats.native import open_native_coco
from datasetdm.miniworld.export import export_coco
from datasetdm.prompts.english import counted
from datasetdm.structures import Category, Sample

FORMATS: dict[str, Callable[[Path, Literal["train", "val"]], CocoSplit]] = {"coco": open_native_coco}

_STAMP = "miniworld.json"
_SHOWN = 5


def ingest(source: config.Source, settings: config.Ingest, seeds: Sequence[int], out: Path) -> dict[str, int | float]:
    """Write the standard layout of a benchmark's real data.

    `out/images/` (files copied as they are, their names preceded by that of their native folder),
    `out/annotations/{few_shot_<seed>, dev, oracle, test}.json`, `out/categories.json` and `out/ingest.json` (counts
    per set and category, annotations left out and why). Captions are the data set's own (where there are several, one
    by seed), else "a photo of a ..., a ...".

    Args:
        source: where the real data lie; the miniworld is rendered there first where it stands in for them.
        settings: how many images of each set.
        seeds: one few-shot set each.
        out: an empty or missing folder.

    Returns:
        Number of images per set, categories, and the fewest few-shot objects of any category.

    Raises:
        DatasetDMError: no or broken data, fewer images than asked for, images that cannot be read.
    """
    if source.miniworld:
        render_miniworld(source.root, source.miniworld)
    open_split = FORMATS[source.format]
    train, val = open_split(source.root, "train"), open_split(source.root, "val")
    if train.categories != val.categories:
        raise DatasetDMError(
            f"{train.annotation_file} and {val.annotation_file} list different categories: they do not belong together."
        )
    subsets = _draw_subsets(train, val, settings, seeds, source.root)
    figures = {name: _write_subset(split, indices, seed, out, name) for name, (split, indices, seed) in subsets.items()}
    write_json(out / "categories.json", [asdict(category) for category in train.categories])
    write_json(out / "ingest.json", figures)
    few_shot = [figures[f"few_shot_{seed}"]["objects_per_category"].values() for seed in seeds]
    return {
        **{f"{name}_images": figure["images"] for name, figure in figures.items()},
        "categories": len(train.categories),
        "fewest_few_shot_objects": min(min(counts) for counts in few_shot),
        "rejected_annotations": sum(len(figure["rejected"]) for figure in figures.values()),
    }


def select(split: CocoSplit, count: int, *, seed: int, exclude: Collection[int] = ()) -> list[int]:
    """Choose images so that the categories are as evenly represented as possible; no image or mask is read.

    Greedy: of the category that has the fewest images so far and some left, take the image that shows the most
    categories with fewer images than the mean and the fewest with more. Images without objects are taken only when
    no others are left.

    Args:
        split: the images.
        count: how many to choose.
        seed: decides among equals.
        exclude: indices that are not to be taken.

    Returns:
        `count` indices into `split`, sorted.

    Raises:
        DatasetDMError: there are fewer images than asked for.
    """
    rng = np.random.default_rng(seed)
    excluded = set(exclude)
    # Shuffled, so that taking the first of several equals is a random choice.
    free = rng.permutation([index for index in range(len(split)) if index not in excluded])
    if count > len(free):
        raise DatasetDMError(
            f"{count} images are asked for, but {split.annotation_file} has only {len(free)} to choose from: "
            "lower `ingest.num_real` in params.yaml."
        )
    shows = np.zeros((len(free), len(split.categories)), dtype=bool)
    for row, index in enumerate(free):
        shows[row, list(split.labels_of(int(index)))] = True
    taken = np.zeros(len(free), dtype=bool)
    images_of = np.zeros(len(split.categories), dtype=np.int64)
    for _ in range(count):
        candidates = shows & ~taken[:, None]
        left = candidates.any(axis=0)
        if not left.any():
            break
        rarest = np.flatnonzero(left & (images_of == images_of[left].min()))
        label = int(rng.choice(rarest))
        rows = np.flatnonzero(candidates[:, label])
        # What an image shows counts for it below the mean and against it above.
        best = rows[np.argmin(shows[rows] @ (images_of - images_of.mean()))]
        taken[best] = True
        images_of += shows[best]
    taken[np.flatnonzero(~taken)[: count - int(taken.sum())]] = True
    return sorted(int(index) for index in free[taken])


def check_no_leak(folder: Path) -> dict[str, int]:
    """Check that no test image is in another set, and no dev image in a few-shot or oracle set.

    Images are compared by name and by the content of their files.

    Returns:
        How many images were compared, per set.

    Raises:
        DatasetDMError: an image is in two sets that must not share one.
    """
    images = {file.stem: _image_names(file) for file in sorted((folder / "annotations").glob("*.json"))}
    digests = {name: _digest(folder / "images" / name) for name in sorted(set().union(*images.values()))}
    for held_out, readers in (("test", images.keys() - {"test"}), ("dev", images.keys() - {"test", "dev"})):
        twin_of = {digests[name]: name for name in images.get(held_out, ())}
        for reader in sorted(readers):
            for name in sorted(images[reader]):
                if digests[name] in twin_of:
                    raise DatasetDMError(
                        f"{folder}: {name} of the set '{reader}' is the same image as {twin_of[digests[name]]} of the "
                        f"set '{held_out}', which must be held out. Remove one of the two from the source's "
                        "annotation file and ingest again."
                    )
    return {subset: len(names) for subset, names in images.items()}


def render_miniworld(root: Path, settings: config.Miniworld) -> None:
    """Export the miniworld to `root` in COCO's layout, unless exactly that lies there already.

    A stamp beside the data tells the arguments and the renderer's sources, so that a changed renderer renders anew.

    Raises:
        DatasetDMError: `root` holds files that are no such export; they are not touched.
    """
    arguments = settings.model_dump()
    wanted = {"arguments": arguments, "renderer": _source_digest(Path(miniworld.__file__).parent)}
    stamp = root / _STAMP
    if stamp.exists():
        if read_json(stamp, remedy=f"Remove the folder {root}; it is rendered anew.") == wanted:
            return
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetDMError(
            f"{root} holds files that are not the miniworld's, and they are not overwritten. If they are your own data "
            "set, remove `source.miniworld` in params.yaml; otherwise set `source.root` to another folder."
        )
    with replacing(root) as folder:
        export_coco(folder, **arguments)
        write_json(folder / _STAMP, wanted)


def _draw_subsets(
    train: CocoSplit, val: CocoSplit, settings: config.Ingest, seeds: Sequence[int], root: Path
) -> dict[str, tuple[CocoSplit, list[int], int]]:
    """For each set: the split it comes from, the chosen images, and the seed of its captions."""
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
    order = np.random.default_rng(0).permutation(len(train)).tolist()
    dev = order[: settings.num_dev]
    oracle = order[settings.num_dev : settings.num_dev + settings.num_oracle]
    reserved = {*dev, *oracle}
    subsets = {
        f"few_shot_{seed}": (train, select(train, settings.num_real, seed=seed, exclude=reserved), seed)
        for seed in seeds
    }
    subsets["dev"] = (train, sorted(dev), 0)
    if oracle:
        subsets["oracle"] = (train, sorted(oracle), 0)
    subsets["test"] = (val, sorted(np.random.default_rng(0).permutation(len(val))[:num_test].tolist()), 0)
    return subsets


def _write_subset(split: CocoSplit, indices: Sequence[int], seed: int, out: Path, subset: str) -> dict[str, Any]:
    """Copy the images and write the annotations of one set; returns its part of `ingest.json`."""
    objects: Counter[int] = Counter()
    figures: Counter[str] = Counter()
    rejected: list[dict[str, Any]] = []
    unusable: list[str] = []

    def samples() -> Iterator[Sample]:
        for index in indices:
            try:
                sample = _standard_sample(split, index, seed)
            except DatasetDMError as error:
                unusable.append(str(error))
                continue
            _copy(split.path_of(index), out / "images" / sample.name)
            objects.update(sample.target.labels[~sample.target.crowd].tolist())
            figures["crowds"] += int(sample.target.crowd.sum())
            figures["images_without_objects"] += not len(sample.target)
            figures["captions_written_here"] += not split.captions_of(index)
            rejected.extend(asdict(rejection) for rejection in split.rejections_of(index))
            yield sample
        if unusable:  # all of them at once; raised here, so that no annotation file appears
            raise DatasetDMError(
                f"{len(unusable)} of the {len(indices)} images chosen for the set '{subset}' cannot be used. "
                + " ".join(unusable[:_SHOWN])
                + (f" And {len(unusable) - _SHOWN} more." if len(unusable) > _SHOWN else "")
            )

    save_coco(out / "annotations" / f"{subset}.json", out / "images", samples(), split.categories)
    return {
        "images": len(indices),
        "objects": objects.total(),
        "crowds": figures["crowds"],
        "images_without_objects": figures["images_without_objects"],
        "captions_written_here": figures["captions_written_here"],
        "objects_per_category": {category.name: objects[label] for label, category in enumerate(split.categories)},
        "rejected": rejected,
    }


def _standard_sample(split: CocoSplit, index: int, seed: int) -> Sample:
    """The sample with a caption, a name that tells its native folder, and an id above 0."""
    sample = split[index]
    captions = split.captions_of(index) or (_plain_caption(split.categories, split.labels_of(index)),)
    rng = np.random.default_rng([seed, sample.image_id])
    return replace(
        sample,
        name=f"{split.images_dir.name}_{sample.name}",
        caption=captions[int(rng.integers(len(captions)))],
        # 0 stands for "no id yet"; where a data set counts from 0, all ids move by one.
        image_id=sample.image_id + (0 if split.image_ids[0] else 1),
    )


def _plain_caption(categories: Sequence[Category], labels: Sequence[int]) -> str:
    """`a photo of a dog, a car`: every category once, in order of appearance."""
    things = ", ".join(counted(1, categories[label].name) for label in dict.fromkeys(labels))
    return f"a photo of {things}" if things else "a photo"


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


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
