"""Measurements of synthesis: drawing a batch of images, annotating it, splicing, and the report's share."""

import os
import shutil
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from datasetdm.datasets.standard.formats import StandardFormat, standard_format
from datasetdm.pipeline.annotated_sets import describe_sets
from datasetdm.pipeline.planning.rate import Rate, measure, measure_host, with_disk
from datasetdm.pipeline.planning.rehearsal import Rehearsal, bytes_in
from datasetdm.pipeline.report_figures import annotated_figure
from datasetdm.pipeline.rounds.shard import REJECTED, annotate_images, reads_last_step
from datasetdm.reports.figures import write_figures
from datasetdm.synthesis.generate import GenerationRequest, draw, make_requests
from datasetdm.transforms.splice import augment
from datasetdm.utils.files import write_image
from datasetdm.utils.images import read_image
from datasetdm.utils.progress import duration, say

NUM_SPLICES = 24
FEW_STEPS = 2  # of the sampler, which tell whether a batch would take too long
SLOW = 80.0  # seconds of the processor: a batch that takes longer is not drawn
SET = "rehearsal"  # name of the sets that are written here


class SynthesisProbe:
    """What is measured with drawn images; these are drawn once.

    Args:
        rehearsal: prompts, models and settings.
    """

    def __init__(self, rehearsal: Rehearsal):
        self._rehearsal, self._settings = rehearsal, rehearsal.context.settings.synthesis
        self._folder = rehearsal.folder / "synthesis"

    @property
    def drawing(self) -> Rate:
        """An image that is drawn."""
        return self._drawn[0]

    @property
    def annotating(self) -> Rate:
        """A drawn image that is annotated with the P-Decoders of all seeds, and written."""
        return self._annotated[0]

    @cached_property
    def _annotated(self) -> tuple[Rate, Path]:
        """The rate, and the folder with the images."""
        rehearsal, (_, latents, requests) = self._rehearsal, self._drawn
        say("annotating these images")
        given = None if reads_last_step(rehearsal.context) else latents
        context = rehearsal.context.with_settings("synthesis", batch_size=len(requests))

        def annotate() -> int:
            shutil.rmtree(self._folder, ignore_errors=True)
            annotate_images(context, rehearsal.annotators, requests, given, self._folder)
            return len(requests)

        rate = measure(annotate, rehearsal.device)
        image = read_image(self._folder / "images" / requests[0].name)

        def write() -> int:
            write_image(self._folder / "written.png", image)
            return 1

        host = measure_host(write, budget=0.5).seconds
        size = _bytes_once(self._folder) / len(requests) + latents[0].nbytes
        rate = replace(with_disk(rate, size), host=host, precision=rehearsal.context.params.backbone.dtype)
        return rate, self._folder

    @cached_property
    def splicing(self) -> Rate:
        """A splice that is made and written."""
        say("splicing")
        settings = self._rehearsal.context.settings.augmentation.model_copy(update={"num_images": NUM_SPLICES})
        source = self._files.load(self.drawn_set(), SET)
        files, folder = self._files, self._folder.with_name("spliced")

        def splice() -> int:
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "images").mkdir(parents=True)
            files.save(folder, SET, augment(source, settings, prefix=SET))
            return NUM_SPLICES

        rate = measure_host(splice)
        return with_disk(rate, bytes_in(folder) / NUM_SPLICES)

    def spliced_set(self) -> Path:
        """The folder of a few splices, or of drawn images if the settings ask for no splices."""
        folder = self._folder.with_name("spliced")
        if not self._rehearsal.context.settings.augmentation.num_images:
            return self.drawn_set()
        return folder if self.splicing.disk else self.drawn_set()

    @cached_property
    def checking(self) -> Rate:
        """An image of a set that is about to be published."""
        folder, files = self.spliced_set(), self._files

        def check() -> int:
            describe_sets(folder)
            return files.check(folder, SET)["images"]

        return measure_host(check)

    @cached_property
    def figures(self) -> Rate:
        """An image of the report."""
        say("writing a report")
        folder, task = self._folder.with_name("figures"), self._rehearsal.task
        samples = [self._files.load(root, SET) for root in (self.drawn_set(), self.spliced_set())]

        def write() -> int:
            shutil.rmtree(folder, ignore_errors=True)
            for number, part in enumerate(samples):
                found = (annotated_figure(sample, task, {}) for sample in part)
                write_figures(folder, str(number), found, title="", root="")
            return sum(map(len, samples))

        rate = measure_host(write)
        return with_disk(rate, bytes_in(folder) / sum(map(len, samples)))

    def drawn_set(self) -> Path:
        """The folder of the drawn images with what was found in them, whatever a filter says."""
        folder = self._folder.with_name("drawn")
        if not folder.exists():
            shard, name = self._annotated[1], self._rehearsal.annotators[0].name
            parts = [self._files.load(root, name) for root in (shard, shard / REJECTED)]
            (folder / "images").mkdir(parents=True)
            self._files.save(folder, SET, (sample for part in parts for sample in part))
        return folder

    @property
    def _files(self) -> StandardFormat:
        return standard_format(*self._rehearsal.task.kind)

    @cached_property
    def _drawn(self) -> tuple[Rate, torch.Tensor, list[GenerationRequest]]:
        """A batch of images; a single one in few steps if a batch would take minutes."""
        rehearsal, sampler = self._rehearsal, self._settings.sampler
        requests = make_requests(rehearsal.prompts, self._settings.batch_size, self._settings.seed)
        precision = rehearsal.context.params.backbone.dtype
        latents = torch.empty(0)

        def draw_images(wanted: list[GenerationRequest], steps: int) -> int:
            nonlocal latents
            latents = draw(
                rehearsal.backbone, wanted, sampler.model_copy(update={"num_inference_steps": steps}), len(wanted)
            )
            return len(wanted)

        say("drawing images")
        steps = sampler.num_inference_steps
        few = min(FEW_STEPS, steps)
        rate = measure(lambda: draw_images(requests[:1], few), rehearsal.device, most=2)
        longer = steps / few
        whole = rate.processor * longer * len(requests)  # other programs do not change that
        if whole < SLOW or rehearsal.device.type == "cuda":
            rate = measure(lambda: draw_images(requests, steps), rehearsal.device, budget=8.0)
            return replace(rate, precision=precision), latents, requests
        seconds = duration(rate.seconds * longer * len(requests))
        say(f"a batch of {len(requests)} would take about {seconds}, so one image in {few} steps has to do")
        scaled = {name: getattr(rate, name) * longer for name in ("seconds", "processor", "flops", "launches")}
        return replace(rate, **scaled, precision=precision), latents, requests[:1]


def _bytes_once(folder: Path) -> int:
    """The size of the files below a folder, links to the same file once."""
    sizes = {}
    for file in folder.rglob("*"):
        if file.is_file():
            status = os.stat(file)
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())
