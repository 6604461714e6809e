"""Which images are taken: the sets of a benchmark as positions in a data set.

Few-shot, dev and oracle come out of the training images and do not overlap; test is the validation set. Dev, oracle and
test are plain random choices, the same for all seeds, so that they look like the data set. Each seed has another
few-shot set, in which every category is as evenly represented as the images allow. A second test set, `iid`, is chosen
from the training images that are left: validation images may be of another kind, as the miniworld's are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasetdm import config
from datasetdm.datasets.naming import check_same
from datasetdm.datasets.selection import select, select_long_tail, split_off_dev
from datasetdm.datasets.split import Split
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task


@dataclass(frozen=True)
class Subset:
    """A set of images: the split it comes from, the chosen ones, the seed of its captions.

    whole: whether the annotations are written as they are, or as `Task.shown` leaves them.
    prefix: of the images' names, where two data sets may use the same.
    """

    split: Split
    indices: Sequence[int]
    seed: int
    whole: bool
    prefix: str = ""


def draw_subsets(
    train: Split, val: Split, settings: config.Ingest, task: Task, seeds: Sequence[int], root: Path
) -> dict[str, Subset]:
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
        f"few_shot_{seed}": Subset(train, _few_shot(train, settings, task, seed, reserved), seed, whole=False)
        for seed in seeds
    }
    subsets["dev"] = Subset(train, sorted(dev), 0, whole=False)
    if oracle:
        subsets["oracle"] = Subset(train, sorted(oracle), 0, whole=True)
    if settings.num_iid:
        taken = {index for subset in subsets.values() for index in subset.indices}
        subsets["iid"] = _iid_subset(train, [index for index in rest if index not in taken], settings.num_iid, root)
    test = sorted(np.random.default_rng(0).permutation(len(val))[:num_test].tolist())
    return subsets | {"test": Subset(val, test, 0, whole=True)}


def decoder_subsets(
    split: Split, own: Split, settings: config.Ingest, task: Task, seeds: Sequence[int]
) -> dict[str, Subset]:
    """Sets for the decoder alone, out of another data set with the same annotation as the benchmark's `own`."""
    if task.words:
        remedy = (
            "The decoder (`source.decoder`) has to be trained on the categories that it is to find; "
            "`source.decoder.names` gives them other names."
        )
        check_same(own, split, remedy)
    return {
        f"decoder_{seed}": Subset(
            split, _few_shot(split, settings, task, seed, ()), seed, whole=False, prefix="decoder_"
        )
        for seed in seeds
    }


def _iid_subset(train: Split, free: Sequence[int], count: int, root: Path) -> Subset:
    """The second test set, out of images that no other set takes, in random order."""
    if count > len(free):
        raise DatasetDMError(
            f"{root} has {len(free)} training images that no other set takes, but {count} are asked for: lower "
            "`ingest.num_iid` in params.yaml, or add images (`source.miniworld.num_train` where it stands in for data)."
        )
    return Subset(train, sorted(free[:count]), 0, whole=True)


def _few_shot(train: Split, settings: config.Ingest, task: Task, seed: int, exclude: Collection[int]) -> list[int]:
    if settings.tail_images is None:
        return select(train, settings.num_real, seed=seed, exclude=exclude)
    return select_long_tail(
        train, settings.num_real, rare=task.rare, rare_images=settings.tail_images, seed=seed, exclude=exclude
    )
