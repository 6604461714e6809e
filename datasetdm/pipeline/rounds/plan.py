"""The units of all rounds, in the order in which they can be made."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.decoder.checkpoint import decoder_fingerprint
from datasetdm.pipeline.calibrated import decoder_folder, depends_on
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.rounds.choice import Choice
from datasetdm.pipeline.rounds.cross_validation import folds
from datasetdm.pipeline.rounds.feedback import Feedback
from datasetdm.pipeline.rounds.shard import Shard
from datasetdm.utils.digests import digest

#: From what a unit depends on to its folder.
Name = Callable[..., Path]


def plan_rounds(context: Context, prompts: pd.DataFrame, folder: Name, *, drawing_version: str) -> Iterator[Unit]:
    """The shards of each round and, if there are several rounds, the feedback on it and the choice that follows.

    A set that is drawn at once may have the folds of its cross-validation instead.

    Args:
        context: the benchmark.
        prompts: the table that all rounds draw from.
        folder: names a unit of the stage.
        drawing_version: of the code that draws.
    """
    rounds = images_of_rounds(context.settings.synthesis.num_images, context.settings.synthesis.rounds)
    common, sampler = _common(context), context.settings.synthesis.sampler
    backbone = context.drawing_backbone().fingerprint
    shards: list[Unit] = []
    choice: Unit | None = None
    for number, images in enumerate(rounds, 1):
        for part in portions(images, context.settings.synthesis.shard_size):
            drawn_by = [drawing_version, sampler, backbone, context.settings.synthesis.batch_size]
            shard = Shard(round=number, images=part, prompts=prompts, choice=choice, drawn_by=drawn_by)
            name = folder(common, _content(context, shard))
            shards.append(Unit(key=f"shard_{len(shards):05d}", folders=(name,), payload=shard))
            yield shards[-1]
        if len(rounds) == 1:
            for fold in folds(context, shards):
                name = folder("cross_validation", *fold.identity(context))
                yield Unit(key=f"cross_validation/seed_{fold.seed}/{fold.number}", folders=(name,), payload=fold)
            return
        judged = []
        for seed in context.seeds:
            feedback = Feedback(round=number, seed=seed, after=tuple(shards))
            name = folder("feedback", *feedback.identity(context))
            judged.append(Unit(key=f"round_{number}/seed_{seed}", folders=(name,), payload=feedback))
            yield judged[-1]
        following = rounds[number] if number < len(rounds) else range(0)
        chosen = Choice(round=number, after=tuple(judged), prompts=prompts, images=following)
        name = folder("choice", *chosen.identity(context))
        choice = Unit(key=f"round_{number}/choice", folders=(name,), payload=chosen)
        yield choice


def make_unit_of_round(context: Context, unit: Unit) -> None:
    """Make a unit, and first what it needs, in whatever order units are asked for.

    Nothing is made twice. What another process is making is waited for.
    """
    if not unit.is_finished():
        for earlier in unit.payload.after:
            make_unit_of_round(context, earlier)
    unit.payload.make(context, unit.folder)


def _common(context: Context) -> str:
    """What all shards depend on. How many images are drawn in all, and in what portions, does not matter to them."""
    settings, task = context.settings.synthesis, context.task()
    decoders = [decoder_fingerprint(decoder_folder(context, seed)) for seed in context.seeds]
    own = [settings.sampler, settings.extraction, settings.filter, settings.batch_size]
    backbones = dict.fromkeys([context.backbone().fingerprint, context.drawing_backbone().fingerprint])
    words = [(word.noun, word.synonyms) for word in task.words]
    return digest(*own, *backbones, context.settings.task, words, decoders, list(context.seeds), *depends_on(context))


def _content(context: Context, shard: Shard) -> list[Any]:
    """Which images a shard holds: its requests or, before these are known, what they follow from."""
    if shard.choice is None:
        return [vars(request) for request in shard.requests(context)]
    return [shard.choice.folder.name, shard.images.start, shard.images.stop]


def images_of_rounds(num_images: int, rounds: int) -> list[range]:
    """The images of each round: equal parts, the first ones an image larger where they cannot be."""
    ends = [-(-num_images * number // rounds) for number in range(rounds + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


def portions(images: range, size: int) -> list[range]:
    """Parts of `size` images, the last possibly smaller."""
    return [images[start : start + size] for start in range(0, len(images), size)]
