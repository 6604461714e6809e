"""The one generation loop: draw an image, read its annotation off the same features, filter, record.

Every image depends on its own prompt and seed alone, so the cut into shards and batches changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from datasetdm import config
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.backbone import Backbone
from datasetdm.reading import read_features
from datasetdm.structures import DiffusionFeatures, Generated, Sample
from datasetdm.tasks.base import Acceptance, Task


@dataclass(frozen=True, kw_only=True)
class Order:
    """One image to be drawn.

    Attributes:
        index: position in the synthetic set, which names the file.
        prompt_id: the row of the prompt table.
        prompt: its text.
        labels: the labels of the categories it names.
        seed: seed of the image's own generator.
    """

    index: int
    prompt_id: int
    prompt: str
    labels: tuple[int, ...]
    seed: int

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


def take_orders(prompts: pd.DataFrame, num_images: int, categories: Sequence[str], seed: int) -> list[Order]:
    """The images to draw: prompts in turn, as often as it takes, each time with another seed."""
    label_of = {name: label for label, name in enumerate(categories)}
    rows = prompts.to_dict("records")
    orders = []
    for index in range(num_images):
        row = rows[index % len(rows)]
        names = [name for name in str(row["categories"]).split(";") if name]
        orders.append(
            Order(
                index=index,
                prompt_id=int(row["id"]),
                prompt=str(row["prompt"]),
                labels=tuple(label_of[name] for name in names),
                seed=int(np.random.SeedSequence([seed, index]).generate_state(1)[0]),
            )
        )
    return orders


def synthesize(
    backbone: Backbone,
    task: Task,
    labellers: Sequence[Labeller],
    orders: Sequence[Order],
    settings: config.Synthesis,
) -> Iterator[Labelled]:
    """Draw the ordered images and annotate each with every labeller (paper section 3.3)."""
    for start in range(0, len(orders), settings.batch_size):
        batch = orders[start : start + settings.batch_size]
        yield from _annotate(backbone, task, labellers, batch, _draw(backbone, task, batch, settings), settings)


def _draw(backbone: Backbone, task: Task, batch: Sequence[Order], settings: config.Synthesis) -> Generated:
    return backbone.generate(
        [order.prompt for order in batch],
        generators=[_generator(order, 0) for order in batch],
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        scheduler=settings.scheduler,
        words=task.words if settings.extraction == "last_step" else None,
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
    images = backbone.decode(drawn.latents).numpy()
    acceptances: list[dict[str, Acceptance]] = [{} for _ in batch]
    features: dict[tuple[int, int], DiffusionFeatures] = {}
    for labeller in labellers:
        reading = (labeller.settings.timestep, labeller.settings.noise_draws)
        if reading not in features:  # decoders of one benchmark read the same features
            features[reading] = drawn.features or read_features(
                backbone,
                drawn.latents,
                [order.prompt for order in batch],
                words=task.words,
                settings=labeller.settings,
                generators=[_generator(order, 1) for order in batch],
            )
        allowed = [order.labels for order in batch] if labeller.settings.category_from_prompt else None
        outputs = labeller.decoder(features[reading])
        predictions = task.decode(outputs, (backbone.image_size, backbone.image_size), allowed)
        for found, prediction in zip(acceptances, predictions, strict=True):
            found[labeller.name] = task.accept(prediction, settings)
    for order, image, found in zip(batch, images, acceptances, strict=True):
        yield Labelled(image=image, order=order, acceptances=found)


def _generator(order: Order, stream: int) -> torch.Generator:
    """The image's own random stream: 0 draws it, 1 noises it for reading."""
    seed = int(np.random.SeedSequence([order.seed, stream]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)


def manifest_rows(
    labelled: Labelled, labellers: Sequence[Labeller], backbone: Backbone, settings: config.Synthesis
) -> list[dict[str, Any]]:
    """The provenance of one image, a row per labeller: all that it takes to make it again."""
    order = labelled.order
    rows = []
    for labeller in labellers:
        acceptance = labelled.acceptances[labeller.name]
        rows.append(
            {
                "image": order.name,
                "decoder": labeller.name,
                "accepted": acceptance.rejected is None,
                "rejected": acceptance.rejected,
                **acceptance.scores,
                "prompt_id": order.prompt_id,
                "prompt": order.prompt,
                "seed": order.seed,
                "backbone_fingerprint": backbone.fingerprint,
                "decoder_fingerprint": labeller.fingerprint,
                "scheduler": settings.scheduler,
                "num_inference_steps": settings.num_inference_steps,
                "guidance_scale": settings.guidance_scale,
                "extraction": settings.extraction,
                "timestep": labeller.settings.timestep,
                "noise_draws": labeller.settings.noise_draws,
            }
        )
    return rows


def accepted_sample(labelled: Labelled, labeller: str) -> Sample | None:
    """The image with its annotation as that labeller saw it, or None where it was rejected."""
    acceptance = labelled.acceptances[labeller]
    if acceptance.rejected is not None:
        return None
    return Sample(
        name=labelled.order.name,
        image=labelled.image,
        caption=labelled.order.prompt,
        target=acceptance.target,
        image_id=labelled.order.index + 1,
    )
