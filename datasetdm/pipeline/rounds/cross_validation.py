"""Cross-validation of a drawn set: images whose labels are contradicted by what a model learns from the others.

After DiffuMask (Wu et al., ICCV 2023): noisy labels are rare among the images of a category, so that a model that
learns from some of the images disagrees with them on the others. A unit is one fold of one seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled, predictions
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.units import make_unit, resume_folder
from datasetdm.pipeline.rounds.feedback import AGAIN, ITERATIONS_SHARE
from datasetdm.pipeline.rounds.shard import subset_of
from datasetdm.pipeline.training import dependencies, train
from datasetdm.utils.files import link, read_json, write_json
from datasetdm.utils.progress import say

CONTRADICTED = "a model that learnt from other drawn images contradicts it"
JUDGED = "agreement.json"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What it takes to judge a part of the accepted images.

    Attributes:
        seed: of the decoder whose annotations are judged, and of the training.
        number: of the part, from 0.
        after: the shards.
    """

    seed: int
    number: int
    after: tuple[Unit, ...]

    def make(self, context: Context, unit: Path) -> None:
        """Train a model on the other parts, and compare what it finds in this one with the annotations."""

        def work(folder: Path) -> None:
            say(f"cross-validation, seed {self.seed}: part {self.number + 1}")
            write_json(folder / JUDGED, self._judge(context, folder / "work", resume_folder(unit)))
            rmtree(folder / "work", ignore_errors=True)

        make_unit(unit, work)

    def identity(self, context: Context) -> list[object]:
        """What its result depends on, ready for `digest`."""
        settings = context.settings.synthesis.cross_validation
        assert settings is not None
        shards = [one.folder.name for one in self.after]
        return [dependencies(shortened(context)), self.seed, self.number, settings.folds, shards]

    def _judge(self, context: Context, folder: Path, resume: Path) -> dict[str, Any]:
        settings = context.settings.synthesis.cross_validation
        assert settings is not None
        names = self._accepted()
        if len(names) < settings.folds:
            return {}
        order = np.random.default_rng([self.seed, len(names)]).permutation(len(names))
        held = {names[place] for place in order[self.number :: settings.folds]}
        learnt, judged = folder / "learnt", folder / "judged"
        self._write(context, learnt, {*names} - held)
        self._write(context, judged, held)
        others = Labelled(folder=learnt, subset=subset_of(self.seed))
        train(shortened(context), [others], self.seed, folder / "model", resume=resume)
        task = context.task()
        model = DOWNSTREAM[task.name].load(folder / "model", device=context.params.device)
        samples = standard_format(*task.kind).load(judged, subset_of(self.seed))
        return {sample.name: _compared(sample, found) for sample, found in predictions(model, task, samples)}

    def _accepted(self) -> list[str]:
        """The images whose annotation was accepted, in their order."""
        rows = pd.concat([pd.read_parquet(shard.folder / "manifest.parquet") for shard in self.after])
        return list(rows.loc[rows["accepted"] & (rows["decoder"] == subset_of(self.seed)), "image"])

    def _write(self, context: Context, folder: Path, names: set[str]) -> None:
        """Some of the accepted images as a set."""
        shards = [shard.folder for shard in self.after]
        standard_format(*context.task().kind).join(folder, subset_of(self.seed), shards, names)
        for shard in shards:
            for image in (shard / "images").iterdir():
                if image.name in names:
                    link(image, folder / "images" / image.name)


def folds(context: Context, shards: Sequence[Unit]) -> list[Fold]:
    """The folds of all seeds; none if the set is not cross-validated."""
    settings = context.settings.synthesis.cross_validation
    numbers = range(settings.folds if settings else 0)
    return [Fold(seed=seed, number=number, after=tuple(shards)) for seed in context.seeds for number in numbers]


def shortened(context: Context) -> Context:
    """The benchmark with the length of a fold's training."""
    settings = context.settings.synthesis.cross_validation
    own = None if settings is None else settings.iterations
    iterations = own or max(1, context.settings.downstream.iterations // ITERATIONS_SHARE)
    return context.with_settings("downstream", iterations=iterations)


def contradicted(context: Context, units: Iterable[Unit]) -> dict[str, set[str]]:
    """Decoder -> the images that are left out, of finished folds."""
    settings = context.settings.synthesis.cross_validation
    judged: dict[str, dict[str, Any]] = {}
    for unit in units:
        own = judged.setdefault(subset_of(unit.payload.seed), {})
        own |= read_json(unit.folder / JUDGED, remedy=AGAIN)
    share = settings.reject if settings else 0.0
    return {decoder: worst(images, share) for decoder, images in judged.items()}


def worst(images: Mapping[str, Mapping[str, Any]], share: float) -> set[str]:
    """The share of the images that agree least, compared with what is usual for their categories.

    Without that comparison the categories that are hard to learn would be left out and not the wrong labels.

    Args:
        images: name -> `agreement`, and `categories` (labels).
        share: of all images.
    """
    by_category: dict[int, list[float]] = {}
    for one in images.values():
        for label in one["categories"]:
            by_category.setdefault(label, []).append(one["agreement"])
    usual = {label: fmean(values) for label, values in by_category.items()}

    def surplus(name: str) -> float:
        expected = [usual[label] for label in images[name]["categories"]]
        return float(images[name]["agreement"] - (fmean(expected) if expected else 0.0))

    return set(sorted(images, key=lambda name: (surplus(name), name))[: int(share * len(images))])


def leave_out(manifest: pd.DataFrame, left_out: Mapping[str, set[str]]) -> pd.DataFrame:
    """The manifest with these annotations rejected."""
    manifest = manifest.copy()
    for decoder, names in left_out.items():
        rows = (manifest["decoder"] == decoder) & manifest["image"].isin(names)
        manifest.loc[rows, "accepted"] = False
        manifest.loc[rows, "rejected"] = CONTRADICTED
    return manifest


def _compared(sample: Sample, found: Any) -> dict[str, Any]:
    labels = sample.target.category_labels() or ()
    return {"agreement": sample.target.agreement(found), "categories": sorted({*labels})}
