"""Decoders trained in other ways on the same labelled images; every training is kept."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import build_decoder, learnt_labels, save_decoder
from datasetdm.decoder.trainer import DecoderTraining
from datasetdm.decoder.view_features import Views, open_views
from datasetdm.pipeline.context import Context
from datasetdm.utils.progress import say
from datasetdm.utils.seeding import derived_seed

EMA_EVERY, EMA_DECAY = 5, 0.975  # iterations between two looks at the weights, and what is kept of the mean


class ViewStore:
    """The cached views of the labelled images of a seed, made once for all trainings of a process."""

    def __init__(self, context: Context):
        self.context = context
        self._views: dict[tuple[Any, ...], Views] = {}

    def open(self, seed: int, settings: Any) -> Views:
        key = (seed, settings.views_per_image, settings.train_timesteps)
        if key not in self._views:
            self._views.clear()
            backbone, task = self.context.backbone(), self.context.task()
            self._views[key] = open_views(backbone, task, labelled(self.context, seed), settings, seed=seed)
        return self._views[key]


def labelled(context: Context, seed: int) -> Sequence[Sample]:
    return standard_format(*context.task().kind).load(context.paths.real, f"few_shot_{seed}")


def train_variant(
    context: Context, store: ViewStore, out: Path, *, seed: int, init: int, changes: Mapping[str, Any]
) -> dict[str, Path]:
    """Train one decoder on the labelled images of `seed`; its last weights and their moving average.

    Args:
        context: the study.
        store: the views.
        out: folder of this training.
        seed: of the labelled images and their views.
        init: of the initialisation, and of the order of the batches.
        changes: settings of the decoder that differ from the study's.
    """
    folders = {"last": out / "last", "ema": out / "ema"}
    if all((folder / "config.json").exists() for folder in folders.values()):
        return folders
    settings = context.settings.decoder.model_copy(update=dict(changes))
    backbone, task = context.backbone(), context.task()
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(init, 3))
        decoder = build_decoder(task, backbone.feature_info, settings, None).to(backbone.device)
        decoder.learnt = learnt_labels(task, labelled(context, seed))
        training = DecoderTraining(backbone, task, settings, init, decoder)
        views = store.open(seed, settings)
        decoder.calibrate(views.examples())
        mean = copy.deepcopy(decoder)
        for look in range(settings.iterations // EMA_EVERY):
            training.run(views, stop=EMA_EVERY * (look + 1))
            with torch.no_grad():
                for old, new in zip(mean.parameters(), decoder.parameters(), strict=True):
                    old.lerp_(new, 1 - min(EMA_DECAY, (1 + look) / (10 + look)))
    mean.learnt = decoder.learnt
    say(f"{out.name}: loss {training.rows[-1]['loss']:.3f}")
    save_decoder(folders["ema"], mean.eval(), task, settings, backbone, init)
    save_decoder(folders["last"], decoder.eval(), task, settings, backbone, init)
    return folders
