"""The one generation loop: draw an image, read its annotation off the same features, filter, record.

Every image depends on its own prompt and seed alone, so shards can be of any size. The last bits of a product depend on
the size of a batch, but not on an image's place in it or on the other images; so every batch is full (`full_batches`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
import pandas as pd
import torch

from datasetdm import config
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.inference import read, read_features
from datasetdm.diffusion.backbone import Backbone, NoiseLevel
from datasetdm.diffusion.features import DiffusionFeatures, Generated
from datasetdm.filters import build_filter
from datasetdm.filters.agreement import accept, needs_counts
from datasetdm.filters.base import NOTHING_ASKED, Acceptance, Filter
from datasetdm.prompts.mentions import Word, asked_counts
from datasetdm.tasks.base import Task
from datasetdm.utils.batches import full_batches
from datasetdm.utils.progress import Progress


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One image to draw.

    Attributes:
        index: position in the synthetic set; it names the file.
        prompt_id: the row of the prompt table.
        prompt: its text.
        seed: decides the image's random numbers.
        categories: names of the categories that the row of the table lists, even if the prompt uses other words.
        kind: the row's kind, such as "plain".
    """

    index: int
    prompt_id: int
    prompt: str
    seed: int
    categories: tuple[str, ...] = ()
    kind: str = ""

    @property
    def name(self) -> str:
        """File name of the image."""
        return f"{self.index:06d}.png"


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """A trained P-Decoder with its settings.

    Attributes:
        name: distinguishes the decoders of a benchmark (`seed_0`, ...).
        fingerprint: digest of its weights.
        decoder: the network.
        settings: how it reads.
        label_filter: calibrated for it; None: the task's, with thresholds set by hand.
    """

    name: str
    fingerprint: str
    decoder: Decoder
    settings: config.Decoder
    label_filter: Filter | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """One drawn image with each annotator's annotation, kept even if the filter rejects it.

    Attributes:
        image: uint8 H x W x 3, RGB.
        request: what was drawn.
        acceptances: by the annotator's name.
    """

    image: np.ndarray
    request: GenerationRequest
    acceptances: dict[str, Acceptance]


def make_requests(prompts: pd.DataFrame, num_images: int, seed: int, *, start: int = 0) -> list[GenerationRequest]:
    """The images to draw: the prompts in turn, starting over when they run out, each time with another seed.

    The first one has the index `start`.
    """
    rows = prompts.to_dict("records")
    return [
        GenerationRequest(
            index=index,
            prompt_id=int(row["id"]),
            prompt=str(row["prompt"]),
            seed=int(np.random.SeedSequence([seed, index]).generate_state(1)[0]),
            categories=tuple(filter(None, str(row["categories"]).split(";"))),
            kind=str(row["kind"]),
        )
        for index, row in zip(range(start, start + num_images), cycle(rows), strict=False)
    ]


def draw(
    backbone: Backbone, requests: Sequence[GenerationRequest], sampler: config.Sampler, batch_size: int
) -> torch.Tensor:
    """Latents of the requested images, float, N x C x h x w; they depend on prompts and seeds, and on no decoder."""
    latents, done, progress = [], 0, Progress(len(requests), "images drawn")
    for batch, count in full_batches(requests, batch_size):
        latents.append(_draw(backbone, batch, sampler).latents[:count])
        done += count
        progress.update(done)
    return torch.cat(latents)


def synthesize(
    backbone: Backbone,
    task: Task,
    annotators: Sequence[Annotator],
    requests: Sequence[GenerationRequest],
    settings: config.Synthesis,
    latents: torch.Tensor | None = None,
) -> Iterator[AnnotatedImage]:
    """Annotate the requested images with every annotator (paper section 3.3).

    Args:
        backbone: the frozen diffusion model.
        task: what is annotated.
        annotators: the trained decoders.
        requests: the images.
        settings: of the synthetic set.
        latents: of the images, as `draw` made them. None: they are drawn now. `extraction: last_step` needs that: it
            reads features that exist only while an image is drawn.
    """
    progress = Progress(len(requests), "images annotated")
    for batch, count in full_batches(range(len(requests)), settings.batch_size):
        part = [requests[index] for index in batch]
        if latents is None:
            words = task.words if settings.extraction == "last_step" else None
            drawn = _draw(backbone, part, settings.sampler, words=words)
        else:
            drawn = Generated(latents=latents[batch].to(backbone.device))
        yield from islice(_annotate(backbone, task, annotators, part, drawn, settings), count)
        progress.update(batch[-1] + 1)


def _draw(
    backbone: Backbone,
    batch: Sequence[GenerationRequest],
    sampler: config.Sampler,
    words: Sequence[Word] | None = None,
) -> Generated:
    return backbone.generate(
        [request.prompt for request in batch],
        generators=[_generator(request, 0) for request in batch],
        words=words,
        **sampler.model_dump(),
    )


@torch.inference_mode()
def _annotate(
    backbone: Backbone,
    task: Task,
    annotators: Sequence[Annotator],
    batch: Sequence[GenerationRequest],
    drawn: Generated,
    settings: config.Synthesis,
) -> Iterator[AnnotatedImage]:
    images = list(backbone.decode(drawn.latents).numpy())
    acceptances: list[dict[str, Acceptance]] = [{} for _ in batch]
    features: dict[tuple[NoiseLevel, int, config.Reading | None, str], list[DiffusionFeatures]] = {}
    by_hand = build_filter(*task.kind)
    heeded = any(needs_counts(settings.filter, annotator.settings.reading) for annotator in annotators)
    asked = [_asked(request, task) if heeded else NOTHING_ASKED for request in batch]
    for annotator in annotators:
        own = annotator.settings
        reading = (own.timestep, own.ensemble_size, own.reading, own.method)
        if reading not in features:  # decoders of one benchmark read the same features
            found_in = (
                [drawn.features]
                if drawn.features
                else read_features(
                    backbone,
                    drawn.latents,
                    [request.prompt for request in batch],
                    words=task.words,
                    settings=annotator.settings,
                    generators=[_generator(request, 1) for request in batch],
                )
            )
            features[reading] = [_with_table(one, batch, task) for one in found_in]
        predictions = read(annotator.decoder, task, features[reading], images, annotator.settings)
        label_filter = annotator.label_filter or by_hand
        for found, prediction, counts in zip(acceptances, predictions, asked, strict=True):
            found[annotator.name] = accept(label_filter, prediction, settings.filter, counts)
    for request, image, found in zip(batch, images, acceptances, strict=True):
        yield AnnotatedImage(image=image, request=request, acceptances=found)


def _labels(request: GenerationRequest, task: Task) -> list[int]:
    """The labels of the categories that the request's row of the table lists, as far as the task reads their words."""
    return [label for label, _ in enumerate(task.words) if task.categories[label].name in request.categories]


def _asked(request: GenerationRequest, task: Task) -> dict[int, int | None]:
    """What the image must show: as many as the prompt says, and any number of what only the table lists."""
    asked: dict[int, int | None] = dict.fromkeys(_labels(request, task))
    return asked | asked_counts(request.prompt, task.words)


def _with_table(features: DiffusionFeatures, requests: Sequence[GenerationRequest], task: Task) -> DiffusionFeatures:
    """The features, with the categories that the table lists as mentioned too ("dog" if the prompt says puppy)."""
    if features.mentioned is None:
        return features
    mentioned = features.mentioned.clone()
    for row, request in zip(mentioned, requests, strict=True):
        row[_labels(request, task)] = True
    return replace(features, mentioned=mentioned)


def _generator(request: GenerationRequest, stream: int) -> torch.Generator:
    """The image's own random stream: 0 draws it, 1 noises it for reading."""
    return torch.Generator().manual_seed(stream_seed(request, stream))


def stream_seed(request: GenerationRequest, stream: int) -> int:
    """Seed of one of the image's random streams (0: drawing, 1: reading)."""
    return int(np.random.SeedSequence([request.seed, stream]).generate_state(1, np.uint64)[0] >> 1)
