"""A shard: some images of a round, drawn and annotated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.pipeline.calibrated import decoder_folder, label_filter
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.rounds.choice import Choice
from datasetdm.synthesis.generate import Annotator, GenerationRequest, draw, make_requests, synthesize
from datasetdm.synthesis.manifest import manifest_rows, sample_of
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link, write_image

#: The set of the images whose annotation the filter has rejected: a folder like that of the accepted ones.
REJECTED = "rejected"
DRAWING = "draw"  # folder of the units of drawn images


def subsets(context: Context) -> list[str]:
    """The names of the annotation files, one per seed of the labelled subset."""
    return [subset_of(seed) for seed in context.seeds]


def subset_of(seed: int) -> str:
    """The name of the annotation file of a seed, and of its P-Decoder."""
    return f"seed_{seed}"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What it takes to make a shard.

    Attributes:
        round: its round, from 1.
        images: its images, by position in the synthetic set.
        prompts: the table of prompts; the first round takes its rows in turn.
        choice: the unit that chooses the prompts of its round; None for the first round.
        drawn_by: what decides how an image looks besides its prompt and seed, ready for `digest`.
    """

    round: int
    images: range
    prompts: pd.DataFrame
    choice: Unit | None
    drawn_by: list[object]

    @property
    def after(self) -> tuple[Unit, ...]:
        """The units that are made first."""
        return (self.choice,) if self.choice else ()

    def requests(self, context: Context) -> list[GenerationRequest]:
        """Its images; those of a later round are known once its prompts are chosen."""
        rows = [index % len(self.prompts) for index in self.images]
        if self.choice:
            choice: Choice = self.choice.payload
            rows = choice.rows(self.choice.folder, self.images)
        seed = context.settings.synthesis.seed
        return make_requests(self.prompts.iloc[rows], len(rows), seed, start=self.images.start)

    def drawing(self, context: Context) -> Path | None:
        """The unit of its images, drawn before they are annotated.

        It is named by what decides how they look: another decoder, or another benchmark with the same prompts, does not
        draw them again. None if images are not drawn ahead (`reads_last_step`), or if the prompts are not chosen yet.
        """
        if reads_last_step(context) or (self.choice and not self.choice.folder.exists()):
            return None
        return self._drawing(context, self.requests(context))

    def make(self, context: Context, unit: Path) -> None:
        """Draw the images and annotate them."""
        requests = self.requests(context)
        drawing = None if reads_last_step(context) else self._drawing(context, requests)
        if not unit.exists() and drawing:
            _draw(context, requests, drawing)  # before the unit, whose time is then that of the labels alone

        def work(folder: Path) -> None:
            annotators = [annotator_of(context, seed) for seed in context.seeds]
            latents = _draw(context, requests, drawing) if drawing else None
            annotate_images(context, annotators, requests, latents, folder)

        make_unit(unit, work)

    def _drawing(self, context: Context, requests: list[GenerationRequest]) -> Path:
        looks = digest(*self.drawn_by, [(request.prompt, request.seed) for request in requests])
        return context.paths.work(DRAWING) / looks


def reads_last_step(context: Context) -> bool:
    """Whether features are read while images are drawn, as those of the last step exist only then."""
    return context.settings.synthesis.extraction == "last_step"


def draw_ahead(context: Context, requests: Sequence[GenerationRequest]) -> torch.Tensor | None:
    """Images as latents, drawn before they are annotated; None if that is not possible (`reads_last_step`)."""
    if reads_last_step(context):
        return None
    settings = context.settings.synthesis
    return draw(context.drawing_backbone(), requests, settings.sampler, settings.batch_size)


def _draw(context: Context, requests: list[GenerationRequest], drawing: Path) -> torch.Tensor:
    """The drawn images of a shard, as latents; `drawing` is their unit."""

    def work(folder: Path) -> None:
        latents = draw_ahead(context, requests)
        assert latents is not None, "there is no such unit otherwise"
        save_file({"latents": latents.cpu().contiguous()}, folder / "latents.safetensors")

    make_unit(drawing, work)
    return load_file(drawing / "latents.safetensors")["latents"]


def annotate_images(
    context: Context,
    annotators: Sequence[Annotator],
    requests: Sequence[GenerationRequest],
    latents: torch.Tensor | None,
    folder: Path,
) -> None:
    """Annotate images, and write them with their annotations, accepted and rejected, and the manifest.

    Args:
        context: the benchmark.
        annotators: one per seed.
        requests: the images.
        latents: see `synthesize`.
        folder: the shard's.
    """
    task, backbone, settings = context.task(), context.backbone(), context.settings.synthesis
    samples: dict[str, dict[bool, list[Sample]]] = {annotator.name: {True: [], False: []} for annotator in annotators}
    rows = []
    for labelled in synthesize(backbone, task, annotators, requests, settings, latents):
        write_image(folder / "images" / labelled.request.name, labelled.image)
        rows += manifest_rows(labelled, annotators, context.drawing_backbone(), settings)
        for name, of in samples.items():
            of[labelled.acceptances[name].rejected is None].append(sample_of(labelled, name))
    files = standard_format(*task.kind)
    (folder / REJECTED / "images").mkdir(parents=True)
    for name, of in samples.items():
        files.save(folder, name, of[True])
        for sample in of[False]:
            link(folder / "images" / sample.name, folder / REJECTED / "images" / sample.name)
        files.save(folder / REJECTED, name, of[False])
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)


def annotator_of(context: Context, seed: int) -> Annotator:
    """The published P-Decoder of a seed; errors as in `decoder_folder` and `label_filter`."""
    folder = decoder_folder(context, seed)
    decoder, _, settings = load_decoder(folder, context.backbone())
    return Annotator(
        name=subset_of(seed),
        fingerprint=decoder_fingerprint(folder),
        decoder=decoder,
        settings=settings,
        label_filter=label_filter(context, seed),
    )
