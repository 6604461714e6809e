"""What does `adapt` bring on images that the diffusion model has never seen the like of?

    python -m benchmarks.adaptation --out benchmarks/results/adaptation/thermal.json

The domain is the embedded world seen by a thermal camera: one channel, bright where it was dark, soft. Its captions
stay. Measured with and without a LoRA that was trained on unlabelled images of the domain: the error with which the
model denoises other images of it, and the P-Decoder's mask AP on dev, trained on a few labelled images for each seed.
Writes a picture next to `--out`, with real images and drawn ones of the same captions before and after. What is
finished is kept in `--cache`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.backbone.command import (
    add_sampler,
    backbone_settings,
    build_parser,
    markdown,
    report,
    sampler_settings,
    say,
    set_threads,
)
from benchmarks.backbone.worlds import coco_task, renderer_state, take_shots
from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.trainer import train_decoder
from datasetdm.diffusion import Backbone, load_backbone
from datasetdm.diffusion.adapters import LORA_FILE
from datasetdm.diffusion.backbone import encode_images
from datasetdm.diffusion.lora_training import LoraTraining, Pictures
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import GenerationRequest, draw
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_image, write_json
from datasetdm.utils.progress import print_progress

NUM_DRAWN = 6
ENCODED = 8  # images at a time


def main() -> None:
    """Adapt, train decoders on both models, draw with both, report."""
    parser = build_parser(__doc__ or "", num_images=120)
    parser.add_argument("--held-out", type=int, default=24, help="images that measure the error")
    parser.add_argument("--labelled", type=int, default=20, help="labelled images of each decoder")
    parser.add_argument("--dev", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="of the decoders and their images")
    parser.add_argument("--iterations", type=int, default=400, help="of a decoder")
    parser.add_argument("--lora-steps", type=int, default=300)
    parser.add_argument("--lora-batch", type=int, default=8)
    parser.add_argument("--lora-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    add_sampler(parser)
    arguments = parser.parse_args()
    set_threads(arguments)
    print_progress(to_stderr=True)
    lora = adapt(arguments)
    settings = backbone_settings(arguments.backbone)
    models = {
        "as it is": load_backbone(settings, arguments.device),
        "adapted": load_backbone(
            settings.model_copy(update={"loras": (config.Lora(path=str(lora / LORA_FILE)),)}), arguments.device
        ),
    }
    if arguments.out is not None:
        write_image(arguments.out.with_suffix(".png"), drawn_sheet(arguments, models))
    errors = read_json(lora / "errors.json", remedy=f"Remove {lora}.")
    scores: dict[str, dict[str, dict[str, float]]] = {name: {} for name in models}
    for seed in [None, *arguments.seeds]:
        for name, backbone in models.items():
            if seed is not None:
                scores[name][str(seed)] = decoder_score(arguments, backbone, seed)
        figures = {"error on held-out images": errors, "P-Decoder on dev": scores}
        report(arguments, {"The embedded model in a thermal camera's world": table(errors, scores)}, figures)


def thermal(image: np.ndarray) -> np.ndarray:
    """A uint8 RGB image as a thermal camera would show it."""
    grey = 255 - cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.repeat(cv2.GaussianBlur(grey, (0, 0), 0.8)[..., None], 3, axis=2)


def samples(stream: str, count: int, seed: int) -> list[Sample]:
    """Annotated images of the domain."""
    return [replace(shot.sample, image=thermal(shot.sample.image)) for shot in take_shots(stream, count, seed=seed)]


def adapt(arguments: Any) -> Path:
    """The folder with a LoRA trained on the domain's images, and the error on others before and after; made once."""
    backbone = load_backbone(backbone_settings(arguments.backbone), arguments.device)
    assert isinstance(backbone, PipelineBackbone)
    settings = config.Adaptation(
        rank=arguments.rank,
        steps=arguments.lora_steps,
        batch_size=arguments.lora_batch,
        learning_rate=arguments.lora_rate,
        seed=arguments.seed,
    )
    counts = arguments.num_images, arguments.held_out
    folder: Path = arguments.cache / "adaptation" / digest(backbone.fingerprint, settings, counts, renderer_state())
    if (folder / LORA_FILE).exists():
        return folder
    learnt, held_out = (
        pictures(backbone, samples(stream, count, arguments.seed))
        for stream, count in (("training", arguments.num_images), ("held_out", arguments.held_out))
    )
    training = LoraTraining(backbone, settings, identity="")
    errors = {"as it is": training.error(held_out, with_lora=False)}
    training.run(learnt, None, folder / "checkpoint.pt")
    errors["adapted"] = training.error(held_out)
    say(f"error on held-out images: {errors}")
    write_json(folder / "errors.json", errors)
    training.save(folder)
    return folder


def pictures(backbone: Backbone, shown: Sequence[Sample]) -> Pictures:
    """Images without their labels."""
    parts = [shown[start : start + ENCODED] for start in range(0, len(shown), ENCODED)]
    latents = [encode_images(backbone, [sample.image for sample in part]).cpu() for part in parts]
    return Pictures(latents=torch.cat(latents), captions=[sample.caption for sample in shown])


def decoder_score(arguments: Any, backbone: Backbone, seed: int) -> dict[str, float]:
    """The dev figures of a P-Decoder of one seed; it is trained once."""
    settings = (
        config.load_params()
        .benchmark("coco")
        .decoder.model_copy(
            update={"iterations": arguments.iterations, "evaluate_every": arguments.iterations, "views_per_image": 16}
        )
    )
    counts = arguments.labelled, arguments.dev, arguments.seed
    name = digest(backbone.fingerprint, settings, counts, seed, renderer_state())
    out: Path = arguments.cache / "adaptation" / name
    if not (out / "metrics.json").exists():
        few_shot, dev = samples("few_shot", arguments.labelled, seed), samples("dev", arguments.dev, arguments.seed)
        train_decoder(backbone, coco_task(), few_shot, dev, settings, seed=seed, out=out)
    figures: dict[str, float] = read_json(out / "metrics.json", remedy=f"Remove {out}.")
    say(f"seed {seed}: {figures}")
    return figures


def drawn_sheet(arguments: Any, models: dict[str, Backbone]) -> np.ndarray:
    """Real images of the domain, and what each model draws for their captions with the same seeds."""
    real = samples("held_out", NUM_DRAWN, arguments.seed)
    rows = {"real": [sample.image for sample in real]}
    requests = [
        GenerationRequest(index=number, prompt_id=number, prompt=sample.caption, seed=number)
        for number, sample in enumerate(real)
    ]
    for name, backbone in models.items():
        latents = draw(backbone, requests, sampler_settings(arguments), arguments.batch_size)
        rows[name] = list(backbone.decode(latents).numpy())
    return np.concatenate([contact_sheet(images, [name] * NUM_DRAWN) for name, images in rows.items()])


def table(errors: dict[str, float], scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """One row per model: the mean over the seeds, and each seed's mask AP."""
    header = ["model", "error on held-out images", "mask AP", "each seed", "with an empty prompt"]
    rows = [
        [
            name,
            errors[name],
            fmean(one["mask_ap"] for one in found.values()) if found else math.nan,
            ", ".join(f"{one['mask_ap']:.3f}" for one in found.values()),
            fmean(one["mask_ap_empty_prompt"] for one in found.values()) if found else math.nan,
        ]
        for name, found in scores.items()
    ]
    return markdown(header, rows)


if __name__ == "__main__":
    main()
