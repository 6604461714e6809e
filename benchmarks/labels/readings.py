"""What decoders find in every image in every pass, read once and kept.

One pass of the diffusion model serves all decoders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Prediction, Sample
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import content_seed, read, read_features
from datasetdm.decoder.readings import Pass, passes
from datasetdm.decoder.self_attention import SelfAttentionDecoder, knows_all_named
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.tasks.instance import InstanceTask
from datasetdm.utils.files import replacing

PART = 20  # images in a file

#: All that is read of every image; a variant joins some of them.
SETTINGS = config.Reading(flip=True, timesteps=(200,), attention=True)

Found = list[dict[Pass, Prediction]]  # per image; of every pass, by the decoder and by attention, mirrored back


def read_all(
    backbone: Backbone, task: InstanceTask, samples: Sequence[Sample], decoders: Mapping[str, Path], cache: Path
) -> dict[str, Found]:
    """What each decoder finds before outlines are moved, by the decoder's name.

    Args:
        backbone: the frozen diffusion model.
        task: with `outlines: decoder`.
        samples: the images, with captions; their names are unique.
        decoders: name -> folder.
        cache: folder for what was read.
    """
    found: dict[str, Found] = {name: [] for name in decoders}
    for start in range(0, len(samples), PART):
        part = [samples[position] for position in range(start, min(start + PART, len(samples)))]
        files = {name: cache / name / f"{part[0].name}_{len(part)}.npz" for name in decoders}
        missing = {name: decoders[name] for name, file in files.items() if not file.exists()}
        if missing:
            for name, rows in _read_part(backbone, task, part, missing).items():
                _save(files[name], rows)
        for name, file in files.items():
            found[name] += _load(file)
    return found


@torch.inference_mode()
def _read_part(
    backbone: Backbone, task: InstanceTask, samples: Sequence[Sample], decoders: Mapping[str, Path]
) -> dict[str, Found]:
    loaded = {name: load_decoder(folder, backbone) for name, folder in decoders.items()}
    found: dict[str, Found] = {name: [] for name in decoders}
    for sample in samples:
        reading = next(iter(loaded.values()))[2].model_copy(update={"reading": SETTINGS})
        features = read_features(
            backbone,
            encode_images(backbone, [sample.image]),
            [sample.caption],
            words=task.words,
            settings=reading,
            generators=[torch.Generator().manual_seed(content_seed(sample.image, 0))],
        )
        made = dict(zip(passes(reading), features, strict=True))
        for name, (decoder, _, settings) in loaded.items():
            alone = settings.model_copy(update={"reading": None})
            attention = SelfAttentionDecoder(task, (), alone)
            rows = {one: _upright(_one(decoder, task, each, sample, alone), one) for one, each in made.items()}
            for one, each in made.items():
                if knows_all_named(each, task) == [True]:
                    by_attention = _upright(_one(attention, task, each, sample, alone), one)
                    rows[replace(one, by_attention=True)] = by_attention
            found[name].append(rows)
    return found


def _one(
    decoder: Decoder,
    task: InstanceTask,
    features: DiffusionFeatures,
    sample: Sample,
    settings: config.Decoder,
) -> Prediction:
    (prediction,) = read(decoder, task, [features], [sample.image], settings)
    return prediction


def _upright(prediction: Prediction, one: Pass) -> Prediction:
    if not one.mirrored:
        return prediction
    target: Instances = prediction.target
    masks = np.ascontiguousarray(target.masks[..., ::-1])
    return Prediction(target=Instances.of(masks, target.labels, target.scores), score=prediction.score)


def _save(file: Path, rows: Found) -> None:
    content: dict[str, Any] = {}
    for number, row in enumerate(rows):
        for one, prediction in row.items():
            key = f"{number}/{one.timestep}/{int(one.mirrored)}/{int(one.by_attention)}"
            target = prediction.target
            content |= {f"{key}/masks": target.masks, f"{key}/labels": target.labels, f"{key}/scores": target.scores}
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **content)


def _load(file: Path) -> Found:
    rows: dict[int, dict[Pass, Prediction]] = {}
    with np.load(file) as content:
        for name in content.files:
            if name.endswith("/masks"):
                number, timestep, mirrored, by_attention, _ = name.split("/")
                key = name.removesuffix("masks")
                target = Instances.of(content[name], content[f"{key}labels"], content[f"{key}scores"])
                score = float(target.scores.mean()) if len(target) else 0.0
                found = Prediction(target=target, score=score)
                one = Pass(int(timestep), mirrored == "1", by_attention == "1")
                rows.setdefault(int(number), {})[one] = found
    return [rows[number] for number in sorted(rows)]
