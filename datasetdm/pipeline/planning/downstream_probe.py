"""Measurements of the downstream model: the start of a training, its iterations, and what it finds in images."""

import contextlib
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from datasetdm.arms import LABELLED
from datasetdm.downstream import DOWNSTREAM, Labelled, evaluate
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.model import DownstreamModel
from datasetdm.downstream.registry import find_model
from datasetdm.pipeline.context import release_backbone
from datasetdm.pipeline.planning.clock import Seconds, now
from datasetdm.pipeline.planning.counting import counting
from datasetdm.pipeline.planning.rate import (
    Rate,
    measure,
    of_host,
    peak_memory,
    reset_peak_memory,
    synchronize,
    with_disk,
)
from datasetdm.pipeline.planning.rehearsal import Rehearsal, bytes_in
from datasetdm.pipeline.planning.synthesis_probe import SET
from datasetdm.utils.progress import say

WARM_UP = 3  # iterations that are not timed
BUDGET = 6.0  # seconds of timed iterations
MOST = 40  # timed iterations
MOST_JUDGED = 60  # images


class DownstreamProbe:
    """What is measured with the downstream model, which is built once.

    Args:
        rehearsal: images and settings.
        spliced: makes a folder with splices.
    """

    def __init__(self, rehearsal: Rehearsal, spliced: Callable[[], Path]):
        self._rehearsal, self._spliced = rehearsal, spliced

    @property
    def start(self) -> Rate:
        """The start of a training and its end, without its iterations."""
        return self._plain[0]

    @property
    def iteration(self) -> Rate:
        """An iteration on labelled images."""
        return self._plain[1]

    @cached_property
    def iteration_with_splices(self) -> Rate:
        """An iteration on labelled images and splices in equal shares."""
        folder = self._spliced()
        return self._train([self._labelled, Labelled(folder=folder, subset=SET)])[1]

    @cached_property
    def judging(self) -> Rate:
        """An image that the model judges, with its share of the evaluation."""
        samples, task, model = self._rehearsal.images("dev", MOST_JUDGED), self._rehearsal.task, self._model
        say("judging images with the downstream model")
        model.to(self._device)

        def judge() -> int:
            evaluate(model, task, samples)
            return len(samples)

        return measure(judge, self._device)

    @cached_property
    def _plain(self) -> tuple[Rate, Rate]:
        return self._train([self._labelled])

    @property
    def _labelled(self) -> Labelled:
        context = self._rehearsal.context
        return Labelled(folder=context.paths.real, subset=LABELLED.subset(context.seeds[0]))

    @cached_property
    def _model(self) -> DownstreamModel:
        context = self._rehearsal.context
        # Pretrained weights cost nothing after the start, and may not be there yet.
        settings = context.settings.downstream.model_copy(update={"pretrained": None})
        task = self._rehearsal.task
        say(f"building the downstream model {settings.model}")
        find_model(task.name, settings.model).check(settings)
        self._device = DOWNSTREAM[task.name].model_class().choose_device(context.params.device)
        release_backbone()  # as before a training
        return DOWNSTREAM[task.name].model_class().build(settings, task)

    def _train(self, datasets: list[Labelled]) -> tuple[Rate, Rate]:
        """A training that is left as soon as its pace is known."""
        model, settings = self._model, self._rehearsal.context.settings.downstream
        pacer, device = _Pacer(1), self._device
        say("training the downstream model for a few iterations")

        def train(curve: LossCurve) -> None:
            own = settings.model_copy(update={"iterations": curve.iterations})
            model.train(own, datasets, self._rehearsal.task, curve, seed=0, device=device, resume=None)

        reset_peak_memory(device)
        with counting() as count:
            train(pacer)
        synchronize(device)
        memory = peak_memory(device, count.peak)
        pacer, began = _Pacer(settings.iterations), now()
        with contextlib.suppress(_Enough):
            train(pacer)
        timed = pacer.timed or now() - began
        start = of_host(pacer.first - began - timed)
        iteration = Rate(
            seconds=timed.clock,
            processor=timed.processor,
            flops=count.flops,
            launches=count.launches,
            memory=memory,
        )
        return with_disk(start, self._bytes()), iteration

    def _bytes(self) -> float:
        """What a trained model takes: as a unit, as published, and in the registry."""
        folder = self._rehearsal.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._model.save(folder)
        return 3 * bytes_in(folder)


class _Enough(Exception):
    """The pace of a training is known."""


class _Pacer(LossCurve):
    """Times the iterations of a training and then leaves it.

    Attributes:
        first: when the first iteration ended.
        timed: what an iteration after the first ones takes; None if there were too few.
    """

    def __init__(self, iterations: int):
        super().__init__(iterations)
        self.first = now()
        self.timed: Seconds | None = None
        self._done, self._begin = 0, now()

    def is_due(self, iteration: int) -> bool:
        """Asked after every iteration."""
        self._done += 1
        if self._done == 1:
            self.first = now()
        if self._done <= WARM_UP:
            self._begin = now()
        else:
            spent = now() - self._begin
            self.timed = spent / (self._done - WARM_UP)
            if self._done < self.iterations and (spent.clock > BUDGET or self._done - WARM_UP == MOST):
                raise _Enough
        return super().is_due(iteration)
