"""The measuring detector, and what the autoencoder costs it.

    python -m benchmarks.backbone.instrument --instrument-images 10000 --num-images 1000

Trains an instance segmenter on labelled renders of `coco` (once; it is kept in the cache for the other scripts), for
measuring only: the pipeline does not use it. Then it looks at `--num-images` fresh renders before and after the
autoencoder of the model: what is lost there, no U-Net can bring back.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backbone.command import (
    IMAGE_SIZE,
    READING_BATCH,
    build_parser,
    markdown,
    open_backbone,
    ratio,
    report,
    say,
    set_threads,
)
from benchmarks.backbone.figures import best_threshold, count_labels, psnr
from benchmarks.backbone.worlds import coco_task, renderer_state, take_shots
from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.diffusion.backbone import encode_images
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.detection import Detector
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.miniworld.pretraining.resnet import ResNet18
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.utils.batches import batches
from datasetdm.utils.digests import digest
from datasetdm.utils.files import write_json
from datasetdm.utils.normalisation import normalise

WANTED_AP_SHARE = 0.95


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """The detector with the score from which it believes itself.

    Attributes:
        name: digest of all that it depends on.
        detector: the trained model.
        threshold: the score at which the held-out renders were counted best.
        resnet: the detector's backbone, whose pooled feature maps serve as features of an image.
        metrics: on the held-out renders.
    """

    name: str
    detector: Detector
    threshold: float
    resnet: ResNet18
    metrics: dict[str, float]

    def annotate(self, images: Sequence[np.ndarray]) -> list[Instances]:
        """What it believes to see in uint8 images, as an annotation."""
        found = [one.select(one.scores >= self.threshold) for one in self.detector.predict(images)]
        return [Instances.of(one.masks, one.labels) for one in found]

    def count(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Objects of each category that it believes to see: int64, N x C."""
        return count_objects(self.annotate(images))

    @torch.no_grad()
    def features(self, images: np.ndarray, stages: Sequence[int] = (3,)) -> np.ndarray:
        """Means over the feature maps of the given stages: float64, N x D (512 for the last stage) of uint8 images."""
        device = next(self.resnet.parameters()).device
        pooled = []
        for start in range(0, len(images), READING_BATCH):
            maps = self.resnet.stages(normalise(images[start : start + READING_BATCH]).to(device))
            pooled.append(torch.cat([maps[stage].mean((2, 3)) for stage in stages], 1).double().cpu())
        return torch.cat(pooled).numpy()

    def stream_features(self, images: Iterator[np.ndarray], stages: Sequence[int] = (3,)) -> np.ndarray:
        """The same of any number of images, taken one after the other."""
        return np.concatenate([self.features(np.stack(batch), stages) for batch in batches(images, READING_BATCH)])


def add_instrument(parser: argparse.ArgumentParser) -> None:
    """How the detector is trained; scripts with the same values share it."""
    group = parser.add_argument_group("instrument")
    group.add_argument("--instrument-images", type=int, default=10_000, help="labelled renders it is trained on")
    group.add_argument("--instrument-held-out", type=int, default=500, help="renders that set its threshold")
    group.add_argument("--instrument-model", default="solov2_r18", help="one with a ResNet-18")
    group.add_argument("--instrument-pretrained", type=Path, default=Path("data/backbones/miniworld_resnet18"))
    group.add_argument("--instrument-seed", type=int, default=0, help="other than `--seed`: one detector serves all")
    group.add_argument("--instrument-iterations", type=int, default=4000)
    group.add_argument("--instrument-batch-size", type=int, default=8)
    group.add_argument("--instrument-learning-rate", type=float, default=4e-4)


def open_instrument(arguments: argparse.Namespace) -> Instrument:
    """The detector that the arguments describe, trained now if it is not in the cache."""
    settings = config.Downstream(
        model=arguments.instrument_model,
        pretrained=str(arguments.instrument_pretrained),
        image_size=IMAGE_SIZE,
        iterations=arguments.instrument_iterations,
        batch_size=arguments.instrument_batch_size,
        learning_rate=arguments.instrument_learning_rate,
    )
    counts = (arguments.instrument_images, arguments.instrument_held_out)
    set_name = digest(renderer_state(), counts, arguments.instrument_seed)
    set_folder = arguments.cache / "instrument_set" / set_name
    name = digest(settings, arguments.instrument_pretrained, set_name)
    folder = arguments.cache / "instrument" / name
    if not folder.exists():
        make_unit(set_folder, partial(_render_set, *counts, arguments.instrument_seed))
        say(f"training the instrument ({settings.iterations} iterations)")
        make_unit(folder, partial(_train, settings, set_folder, arguments))
    description = json.loads((folder / "instrument.json").read_text())
    detector = Detector.load(folder / "detector", arguments.device)
    resnet = _resnet_of(detector).to(next(detector.network.parameters()).device)
    say(f"instrument {name}: {description}")
    return Instrument(
        name=name,
        detector=detector,
        threshold=description["threshold"],
        resnet=resnet,
        metrics=description["metrics"],
    )


def _render_set(num_images: int, num_held_out: int, seed: int, folder: Path) -> None:
    say(f"rendering {num_images + num_held_out} labelled images")
    for stream, count in (("training", num_images), ("held_out", num_held_out)):
        standard_format(*coco_task().kind).save(
            folder, stream, (shot.sample for shot in take_shots(stream, count, seed=seed))
        )


def _train(settings: config.Downstream, set_folder: Path, arguments: argparse.Namespace, folder: Path) -> None:
    task = coco_task()
    held_out = Labelled(folder=set_folder, subset="held_out")
    metrics = DOWNSTREAM[task.name].train(
        settings,
        task=task,
        datasets=[Labelled(folder=set_folder, subset="training")],
        dev=held_out,
        seed=arguments.instrument_seed,
        out=folder / "detector",
        device=arguments.device,
    )
    detector = Detector.load(folder / "detector", arguments.device)
    samples = list(standard_format(*task.kind).load(set_folder, "held_out"))
    found = detector.predict([sample.image for sample in samples])
    threshold = best_threshold(
        count_objects([sample.target for sample in samples]), [(one.labels, one.scores) for one in found]
    )
    chosen = {name: value for name, value in metrics.items() if "/" not in name}
    write_json(folder / "instrument.json", {"threshold": threshold, "metrics": chosen})


def count_objects(annotations: Sequence[Instances]) -> np.ndarray:
    """Objects of each category of `coco` in each image: int64, N x C."""
    return count_labels([annotation.labels for annotation in annotations], len(coco_task().categories))


def _resnet_of(detector: Detector) -> ResNet18:
    """The detector's backbone as a separate network; mmdet names a ResNet's weights as we do."""
    resnet = ResNet18(1)
    unused = {name: value for name, value in resnet.state_dict().items() if name.startswith("fc.")}
    resnet.load_state_dict({**detector.network.backbone.state_dict(), **unused})
    return resnet.eval().requires_grad_(False)


def main() -> None:
    """Train or load the detector, measure the autoencoder, print the table."""
    arguments = parse_arguments()
    set_threads(arguments)
    instrument = open_instrument(arguments)
    figures = measure_autoencoder(instrument, arguments)
    before, after = figures["renders"]["mask_ap"], figures["reconstructed"]["mask_ap"]
    share = ratio(after, before)
    rows = [[name, figures[name]["mask_ap"], figures[name]["mask_ap50"]] for name in ("renders", "reconstructed")]
    rows.append([f"reconstructed / renders (wanted >= {WANTED_AP_SHARE})", share, "-"])
    tables = {
        f"Autoencoder: {arguments.num_images} renders, PSNR {figures['psnr']:.1f} dB": markdown(
            ["images", "mask AP", "AP50"], rows
        )
    }
    figures |= {"share": share, "wanted": WANTED_AP_SHARE, "instrument": instrument.name}
    figures["instrument_held_out"] = instrument.metrics
    report(arguments, tables, figures)


def measure_autoencoder(instrument: Instrument, arguments: argparse.Namespace) -> dict[str, Any]:
    """The detector's AP on fresh renders and on what the autoencoder makes of them, and the mean PSNR in dB."""
    backbone = open_backbone(arguments.backbone, arguments.device)
    task = coco_task()
    evaluators = {name: build_evaluator(*task.kind) for name in ("renders", "reconstructed")}
    ratios = []
    shots = take_shots("prompts", arguments.num_images, seed=arguments.seed)
    for batch in batches(shots, READING_BATCH):
        images = [shot.sample.image for shot in batch]
        decoded = list(backbone.decode(encode_images(backbone, images)).numpy())
        for name, pictures in (("renders", images), ("reconstructed", decoded)):
            for shot, found in zip(batch, instrument.detector.predict(pictures), strict=True):
                evaluators[name].add(shot.sample.target, found)
        ratios += [psnr(image, other) for image, other in zip(images, decoded, strict=True)]
    return {
        **{name: evaluator.compute() for name, evaluator in evaluators.items()},
        "psnr": float(np.mean(ratios)),
        "backbone": backbone.fingerprint,
    }


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, num_images=1000)
    add_instrument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
