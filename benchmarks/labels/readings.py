"""What decoders say about every image in every way of reading it, read once and kept.

One pass of the diffusion model serves the decoders of all seeds. What a query says is kept if it may be an object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.labels.sets import open_set
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import content_seed, named_words
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.pipeline.context import Context
from datasetdm.tasks.classes import rule_out
from datasetdm.utils.files import replacing

LOWEST = 0.02  # queries whose best class is less likely are not kept
PART = 60  # images in a file

Output = tuple[np.ndarray, np.ndarray]  # class probabilities, float16 Q x C; mask logits, float16 Q x h x w


@dataclass(frozen=True)
class Way:
    """One way to read: at which timestep, which draw of noise, and whether the picture (or its latents) is mirrored."""

    timestep: int = 50
    draw: int = 0
    flip: str = ""  # "image", "latents"

    @property
    def name(self) -> str:
        return f"t{self.timestep}_n{self.draw}" + (f"_{self.flip}" if self.flip else "")


def outputs(context: Context, folder: Path, set_name: str, decoders: dict[str, Path], ways: Sequence[Way], count: int):
    """decoder -> way -> one output per image, for the first `count` images."""
    found: dict[str, dict[str, list[Output]]] = {name: {way.name: [] for way in ways} for name in decoders}
    for start in range(0, count, PART):
        for way in ways:
            missing = {n: p for n, p in decoders.items() if not _file(folder, set_name, n, way, start).exists()}
            if missing:
                _read_part(context, folder, set_name, missing, way, start, PART)
            for name in decoders:
                found[name][way.name] += _load(_file(folder, set_name, name, way, start))[: count - start]
    return found


def _file(folder: Path, set_name: str, decoder: str, way: Way, start: int) -> Path:
    return folder / set_name / decoder / f"{way.name}_{start:04d}.npz"


@torch.inference_mode()
def _read_part(context, folder, set_name, decoders, way: Way, start, count) -> None:
    backbone = context.backbone()
    samples = open_set(context, folder, set_name)
    samples = [samples[i] for i in range(start, min(start + count, len(samples)))]
    loaded = {name: load_decoder(path, backbone)[0] for name, path in decoders.items()}
    task = context.task()
    kept: dict[str, list[Output]] = {name: [] for name in decoders}
    for sample in samples:
        features = read_way(backbone, task.words, sample, way)
        allowed = named_words(features)
        for name, decoder in loaded.items():
            labels = [[l for l in row if decoder.learnt is None or l in decoder.learnt] for row in allowed]
            kept[name].append(_kept(decoder(features), labels, way))
    for name, rows in kept.items():
        file = _file(folder, set_name, name, way, start)
        file.parent.mkdir(parents=True, exist_ok=True)
        counts = np.array([len(classes) for classes, _ in rows])
        with replacing(file) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(
                stream,
                counts=counts,
                classes=np.concatenate([c for c, _ in rows]),
                masks=np.concatenate([m for _, m in rows]),
            )


def read_way(backbone: Backbone, words, sample: Sample, way: Way) -> DiffusionFeatures:
    image = np.ascontiguousarray(sample.image[:, ::-1]) if way.flip == "image" else sample.image
    latents = encode_images(backbone, [image])
    if way.flip == "latents":
        latents = latents.flip(-1)
    seed = content_seed(sample.image, 0) + 7919 * way.draw + (104729 if way.flip else 0)
    generator = torch.Generator().manual_seed(seed % 2**63)
    return backbone.extract(latents, [sample.caption], timestep=way.timestep, words=words, generators=[generator])


def _kept(outputs, allowed, way: Way) -> Output:
    classes = rule_out(outputs["pred_logits"], allowed).softmax(-1)[0, :, :-1]
    masks = outputs["pred_masks"][0]
    if way.flip:
        masks = masks.flip(-1)
    likely = classes.max(dim=1).values >= LOWEST
    return classes[likely].half().numpy(), masks[likely].half().numpy()


def _load(file: Path) -> list[Output]:
    with np.load(file) as content:
        edges = np.cumsum(content["counts"])[:-1]
        return list(zip(np.split(content["classes"], edges), np.split(content["masks"], edges), strict=True))
