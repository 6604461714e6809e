"""The one generation loop: draw an image, read its annotation off the same features, filter, record.

Every image depends on its own prompt and seed alone, so the cut into shards changes nothing. Neither does that into
batches on the CPU, where images are taken one by one; on a GPU the size of a batch changes the last bits of a sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import torch

from datasetdm import config
from datasetdm.decoder.inference import read, read_features
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import DiffusionFeatures, Generated
from datasetdm.diffusion.words import asked_counts
from datasetdm.tasks.base import NOTHING_ASKED, Acceptance, Task
from datasetdm.utils.batches import batches


@dataclass(frozen=True, kw_only=True)
class Order:
    """One image to be drawn.

    Attributes:
        index: position in the synthetic set, which names the file.
        prompt_id: the row of the prompt table.
        prompt: its text.
        seed: decides the image's random numbers.
        categories: names of the categories that the row of the table says it shows, be it by other words.
        kind: what the row says of itself, such as "plain".
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
class Labeller:
    """A trained P-Decoder with its settings.

    Attributes:
        name: tells the decoders of a benchmark apart (`seed_0`, ...).
        fingerprint: digest of its weights.
        decoder: the network.
        settings: how it reads.
    """

    name: str
    fingerprint: str
    decoder: PDecoder
    settings: config.Decoder


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One drawn image with what each labeller made of it (sample kept even where it is rejected)."""

    image: np.ndarray
    order: Order
    acceptances: dict[str, Acceptance]


def take_orders(prompts: pd.DataFrame, num_images: int, seed: int) -> list[Order]:
    """The images to draw: prompts in turn, as often as it takes, each time with another seed."""
    rows = prompts.to_dict("records")
    return [
        Order(
            index=index,
            prompt_id=int(row["id"]),
            prompt=str(row["prompt"]),
            seed=int(np.random.SeedSequence([seed, index]).generate_state(1)[0]),
            categories=tuple(filter(None, str(row["categories"]).split(";"))),
            kind=str(row["kind"]),
        )
        for index, row in zip(range(num_images), cycle(rows), strict=False)
    ]


def sampler_of(settings: config.Synthesis) -> dict[str, Any]:
    """The settings that decide, beside model, prompt and seed, how an image looks (see `Backbone.generate`)."""
    return settings.model_dump(include={"num_inference_steps", "guidance_scale", "guidance_rescale", "scheduler"})


def draw(backbone: Backbone, orders: Sequence[Order], settings: config.Synthesis) -> torch.Tensor:
    """Latents of the ordered images, float, N x C x h x w; they depend on prompts and seeds, and on no decoder."""
    portions = batches(orders, _portion(backbone, settings))
    return torch.cat([_draw(backbone, portion, settings).latents for portion in portions])


def synthesize(
    backbone: Backbone,
    task: Task,
    labellers: Sequence[Labeller],
    orders: Sequence[Order],
    settings: config.Synthesis,
    latents: torch.Tensor | None = None,
) -> Iterator[Labelled]:
    """Annotate the ordered images with every labeller (paper section 3.3).

    Args:
        backbone: the frozen diffusion model.
        task: what is annotated.
        labellers: the trained decoders.
        orders: the images.
        settings: of the synthetic set.
        latents: of the images, as `draw` made them; None: they are drawn now, which `extraction: last_step` needs,
            as it reads features that exist only while an image is drawn.
    """
    for batch in batches(range(len(orders)), _portion(backbone, settings)):
        part = [orders[index] for index in batch]
        if latents is None:
            drawn = _draw(backbone, part, settings, words=task.words if settings.extraction == "last_step" else None)
        else:
            drawn = Generated(latents=latents[batch].to(backbone.device))
        yield from _annotate(backbone, task, labellers, part, drawn, settings)


def _portion(backbone: Backbone, settings: config.Synthesis) -> int:
    return backbone.portion(settings.batch_size)


def _draw(
    backbone: Backbone, batch: Sequence[Order], settings: config.Synthesis, words: Sequence[str] | None = None
) -> Generated:
    return backbone.generate(
        [order.prompt for order in batch],
        generators=[_generator(order, 0) for order in batch],
        words=words,
        **sampler_of(settings),
    )


@torch.inference_mode()
def _annotate(
    backbone: Backbone,
    task: Task,
    labellers: Sequence[Labeller],
    batch: Sequence[Order],
    drawn: Generated,
    settings: config.Synthesis,
) -> Iterator[Labelled]:
    images = list(backbone.decode(drawn.latents).numpy())
    acceptances: list[dict[str, Acceptance]] = [{} for _ in batch]
    features: dict[tuple[int, int], DiffusionFeatures] = {}
    asked = [_asked(order, task) if settings.require_prompted else NOTHING_ASKED for order in batch]
    for labeller in labellers:
        reading = (labeller.settings.timestep, labeller.settings.noise_draws)
        if reading not in features:  # decoders of one benchmark read the same features
            found_in = drawn.features or read_features(
                backbone,
                drawn.latents,
                [order.prompt for order in batch],
                words=task.words,
                settings=labeller.settings,
                generators=[_generator(order, 1) for order in batch],
            )
            features[reading] = _with_table(found_in, batch, task)
        predictions = read(labeller.decoder, task, features[reading], images, labeller.settings)
        for found, prediction, counts in zip(acceptances, predictions, asked, strict=True):
            found[labeller.name] = task.accept(prediction, settings, counts)
    for order, image, found in zip(batch, images, acceptances, strict=True):
        yield Labelled(image=image, order=order, acceptances=found)


def _labels(order: Order, task: Task) -> list[int]:
    """The labels of the categories that the order's row of the table names, as far as the task reads their words."""
    return [label for label, _ in enumerate(task.words) if task.categories[label].name in order.categories]


def _asked(order: Order, task: Task) -> dict[int, int | None]:
    """What has to be there: in the numbers that the text asks for, and what only the table names in any number."""
    asked: dict[int, int | None] = dict.fromkeys(_labels(order, task))
    return asked | asked_counts(order.prompt, task.words)


def _with_table(features: DiffusionFeatures, orders: Sequence[Order], task: Task) -> DiffusionFeatures:
    """The features, with the words of the row of the table counted as mentioned ("dog" where the prompt says puppy)."""
    if features.mentioned is None:
        return features
    mentioned = features.mentioned.clone()
    for row, order in zip(mentioned, orders, strict=True):
        row[_labels(order, task)] = True
    return replace(features, mentioned=mentioned)


def _generator(order: Order, stream: int) -> torch.Generator:
    """The image's own random stream: 0 draws it, 1 noises it for reading."""
    return torch.Generator().manual_seed(stream_seed(order, stream))


def stream_seed(order: Order, stream: int) -> int:
    return int(np.random.SeedSequence([order.seed, stream]).generate_state(1, np.uint64)[0] >> 1)
