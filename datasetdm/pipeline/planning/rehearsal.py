"""A benchmark in small, in a temporary folder: what measurements work on.

What the project has is used as it is (the ingested images, a trained decoder, the table of prompts); what it does not
have yet is made in small. Nothing is written into the project.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.arms import LABELLED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.checkpoint import build_decoder, embed_vocabulary, load_decoder
from datasetdm.diffusion.backbone import Backbone
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.ingestion.ingest import ingest, open_data
from datasetdm.pipeline.ingestion.rendering import render_miniworld
from datasetdm.pipeline.paths import Paths
from datasetdm.pipeline.planning.clock import now
from datasetdm.pipeline.planning.rate import Rate, of_host, with_disk
from datasetdm.pipeline.planning.work import Measure
from datasetdm.pipeline.prompt_coverage import template_prompts
from datasetdm.pipeline.prompt_sources import candidates
from datasetdm.pipeline.prompt_subjects import subjects
from datasetdm.pipeline.rounds.shard import subset_of
from datasetdm.pipeline.validate import downloads
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.synthesis.generate import Annotator
from datasetdm.tasks.base import Task
from datasetdm.utils.progress import say

NUM_REAL, NUM_DEV, NUM_OTHER = 8, 16, 8  # images of a set in small
NUM_RENDERED = (48, 12)  # training and validation images of the embedded world in small


class Rehearsal:
    """The benchmark in small; everything is made when it is first asked for.

    Args:
        benchmark: as the project has it.
        folder: temporary.

    Attributes:
        adaptation: the settings of the stage `adapt`, if a LoRA is to be trained.
    """

    def __init__(self, benchmark: Context, folder: Path):
        self.adaptation = benchmark.settings.adapt
        self.benchmark, self.folder = _without_lora(benchmark), folder

    @cached_property
    def context(self) -> Context:
        """The benchmark with images: the project's own if they are ingested, else a few in the temporary folder."""
        real = self.benchmark.paths.real
        needed = [LABELLED.subset(self.benchmark.seeds[0]), "dev", "test"]
        if not (real / "categories.json").exists() or not all(annotation_file(real, name).exists() for name in needed):
            return self.ingested[0]
        paths = Paths(self.folder / "project", self.benchmark.benchmark)  # whatever is written lands there
        paths.real.parent.mkdir(parents=True)
        paths.real.symlink_to(real.absolute())
        return replace(self.benchmark, paths=paths)

    @cached_property
    def num_val(self) -> int:
        """Images of the validation set."""
        source, real = self.benchmark.settings.source, self.benchmark.paths.real
        if source.miniworld:
            return source.miniworld.num_val
        if annotation_file(real, "test").exists():
            return AnnotatedSets().count(real, "test")
        return len(open_data(source, "val"))

    @cached_property
    def ingested(self) -> tuple[Context, dict[Measure, Rate]]:
        """The benchmark with few images of each set, and what it took to take them out of the data."""
        say("ingesting a few images")
        settings, began = self.benchmark.settings, now()
        source = _small_source(settings.source, self.folder)
        if source.miniworld:
            render_miniworld(source.root, source.format, source.miniworld)
        rendered = now()
        for one in filter(None, (source, source.decoder)):
            open_data(one, "train")
        num_val, opened = len(open_data(source, "val")), now()
        small = self._with_sets(source, _small_sets(settings.ingest, num_val))
        ingest(source, small.settings.ingest, settings.task, small.seeds, small.paths.real)
        seconds = now() - opened - (opened - rendered)  # `ingest` opens the data, too
        copied = len(list((small.paths.real / "images").iterdir()))
        return small, {
            Measure.RENDER: with_disk(of_host((rendered - began) / sum(NUM_RENDERED)), _bytes_per_file(source.root)),
            Measure.OPEN: of_host(opened - rendered),
            Measure.COPY: with_disk(of_host(seconds / copied), bytes_in(small.paths.real) / copied),
        }

    def _with_sets(self, source: config.DataSource, sizes: config.Ingest) -> Context:
        block = self.benchmark.settings.model_copy(update={"source": source, "ingest": sizes})
        benchmarks = {**self.benchmark.params.benchmarks, self.benchmark.benchmark: block}
        return replace(
            self.benchmark,
            params=self.benchmark.params.model_copy(update={"benchmarks": benchmarks}),
            paths=Paths(self.folder, self.benchmark.benchmark),
        )

    @cached_property
    def task(self) -> Task:
        """The task with its categories."""
        return self.context.task()

    @property
    def backbone(self) -> Backbone:
        """The diffusion model, which stays loaded until `release_backbone`.

        Raises:
            DatasetDMError: it is missing, or would have to be downloaded.
        """
        path = self.benchmark.params.backbone.path
        if f"backbone.path: {path}" in self.downloads:
            raise DatasetDMError(
                f"The weights of {path} (backbone.path in params.yaml) are not on this machine, and a plan downloads "
                f"nothing. The first run does, or `hf download {path}`."
            )
        return self.context.backbone()

    @cached_property
    def downloads(self) -> list[str]:
        """The weights that a run would download first."""
        return downloads(self.benchmark)

    @property
    def device(self) -> torch.device:
        """Where the diffusion model runs."""
        return self.backbone.device

    def images(self, subset: str, most: int) -> Sequence[Sample]:
        """The first images of an ingested set."""
        found = standard_format(*self.task.kind).load(self.context.paths.real, subset)
        return [found[index] for index in range(min(most, len(found)))]

    @cached_property
    def decoder(self) -> Decoder:
        """The P-Decoder of the first seed, or one that is not trained, which costs the same."""
        folder = self.benchmark.paths.decoders / str(self.benchmark.seeds[0])
        try:
            return load_decoder(folder, self.backbone)[0]
        except DatasetDMError:  # there is none yet, or it is of another diffusion model
            return self.new_decoder().eval()

    def new_decoder(self) -> Decoder:
        """A P-Decoder that is not trained."""
        settings = self.context.settings.decoder
        embeddings = embed_vocabulary(self.task, self.backbone, settings)
        return build_decoder(self.task, self.backbone.feature_info, settings, embeddings).to(self.device)

    @property
    def annotators(self) -> list[Annotator]:
        """As many P-Decoders as the benchmark has seeds."""
        settings = self.context.settings.decoder
        return [
            Annotator(name=subset_of(seed), fingerprint="", decoder=self.decoder, settings=settings)
            for seed in self.context.seeds
        ]

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """The table of prompts, or prompts like those that will be in it; no language model is asked."""
        settings, table = self.context.settings.prompts, self.benchmark.paths.prompts
        if table.exists():
            return load_prompts(table, choose_subjects(self.task.subjects, settings))
        if settings.source == "language_model":
            return template_prompts(self.context, subjects(self.context))
        return candidates(self.context)


def _without_lora(benchmark: Context) -> Context:
    """The benchmark without the LoRA of the stage `adapt`, which may not be trained yet; drawing costs the same."""
    settings = benchmark.settings.model_copy(update={"adapt": None})
    benchmarks = {**benchmark.params.benchmarks, benchmark.benchmark: settings}
    return replace(benchmark, params=benchmark.params.model_copy(update={"benchmarks": benchmarks}))


def _small_source(source: config.DataSource, folder: Path) -> config.DataSource:
    """The embedded world is rendered in small, into the temporary folder; a person's data stay where they are."""
    decoder = source.decoder
    if decoder is not None:
        decoder = decoder.model_copy(update=_small_world(decoder, folder / "raw_decoder"))
    return source.model_copy(update={**_small_world(source, folder / "raw"), "decoder": decoder})


def _small_world(source: config.Source, root: Path) -> dict[str, object]:
    if source.miniworld is None:
        return {}
    train, val = NUM_RENDERED
    return {"root": root, "miniworld": source.miniworld.model_copy(update={"num_train": train, "num_val": val})}


def _small_sets(sizes: config.Ingest, num_val: int) -> config.Ingest:
    return sizes.model_copy(
        update={
            "num_real": min(sizes.num_real, NUM_REAL),
            "num_dev": min(sizes.num_dev, NUM_DEV),
            "num_oracle": min(sizes.num_oracle, NUM_OTHER),
            "num_iid": 0,
            "num_test": min(sizes.num_test or NUM_OTHER, NUM_OTHER, num_val),
            "tail_images": None if sizes.tail_images is None else min(sizes.tail_images, NUM_REAL),
        }
    )


def bytes_in(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _bytes_per_file(root: Path) -> float:
    """The size of what is rendered for an image."""
    return bytes_in(root) / sum(NUM_RENDERED)
