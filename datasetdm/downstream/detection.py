"""Instance segmentation with mmdet: train a detector on an arm's images, load it back, predict."""

import csv
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import mmcv.ops
import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner, set_random_seed
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.downstream import Labelled, category_records, check_limits, evaluate, read_categories
from datasetdm.downstream.checkpoints import Checkpoints
from datasetdm.downstream.detection_data import train_loader
from datasetdm.downstream.models import MODELS, build_model, canvas_side, load_backbone, model_config
from datasetdm.downstream.precision import pays_in_bfloat16
from datasetdm.downstream.weights import weights_file
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.utils.files import replacing, write_json
from datasetdm.utils.images import checked_images
from datasetdm.utils.progress import Progress, say

log = logging.getLogger(__name__)


class Detector:
    """A trained detector.

    Args:
        model: the mmdet model.
        categories: in label order.
        image_size: longer side at which the model sees an image, in pixels.
        score_threshold: objects below it are left out.
        device: where the model runs.
    """

    def __init__(
        self,
        model: BaseDetector,
        *,
        categories: Sequence[Category],
        image_size: int,
        score_threshold: float,
        device: torch.device,
    ):
        self.model = model.to(device).eval()
        # Every image lies on the same square, as it mostly did in training, where a batch is padded to its largest
        # image. SOLOv2's grid lies over the padding, too.
        self.model.data_preprocessor.pad_size_divisor = canvas_side(image_size)
        self.categories = tuple(categories)
        self.image_size = image_size
        self.score_threshold = score_threshold

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "Detector":
        """The detector that `train` wrote to a folder.

        Raises:
            DatasetDMError: the folder holds no detector.
        """
        try:
            description = json.loads((folder / "config.json").read_text())
            state = load_file(folder / "model.safetensors")
        except FileNotFoundError as error:
            raise DatasetDMError(f"{error.filename} is missing: run the stage train_downstream.") from None
        except (OSError, ValueError, SafetensorError) as error:
            raise DatasetDMError(f"{folder} is damaged ({error}): run the stage train_downstream again.") from None
        model = build_model(description["model"])
        model.load_state_dict(state)
        return cls(
            model,
            categories=read_categories(description),
            image_size=description["image_size"],
            score_threshold=description["score_threshold"],
            device=_device(device),
        )

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Instances]:
        """Objects of images (uint8, H x W x 3, RGB, of any size), best first, with masks at the image's size."""
        found = []
        for image in checked_images(images):
            inputs, sample = self._prepared(image)
            (result,) = self.model.test_step({"inputs": [inputs], "data_samples": [sample]})
            found.append(self._instances(result))
        return found

    def _prepared(self, image: np.ndarray) -> tuple[torch.Tensor, DetDataSample]:
        height, width = image.shape[:2]
        factor = self.image_size / max(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR) if factor != 1 else image
        sample = DetDataSample(
            metainfo={
                "ori_shape": (height, width),
                "img_shape": size,
                "scale_factor": (size[1] / width, size[0] / height),
            }
        )
        bgr = np.ascontiguousarray(resized[..., ::-1].transpose(2, 0, 1))  # the order of cv2, in which mmdet reads
        return torch.from_numpy(bgr), sample

    def _instances(self, result: DetDataSample) -> Instances:
        found = result.pred_instances.cpu()
        found = found[found.scores >= self.score_threshold]
        found = found[found.scores.argsort(descending=True, stable=True)]
        return Instances.of(found.masks.numpy(), found.labels.numpy(), found.scores.numpy())


load = Detector.load


def train(
    settings: config.Downstream,
    *,
    task: Task,
    datasets: Sequence[Labelled],
    dev: Labelled,
    seed: int,
    out: Path,
    device: str = "auto",
    resume: Path | None = None,
) -> dict[str, float]:
    """Train a detector; every arm gets the same number of iterations.

    Writes `model.safetensors`, `config.json` (all that `Detector.load` needs), `metrics.json` (figures on `dev`) and
    `curves.csv` (training losses) into `out`, all at once at the end.

    Args:
        settings: model and schedule.
        task: what the annotations are; its categories are the detector's classes.
        datasets: COCO files with the task's categories in their order, and their shares of a batch.
        dev: held-out images for the metrics; the weights are those of the last iteration.
        seed: decides initial weights, order and augmentation.
        out: folder to (over)write.
        device: auto, cpu, cuda, cuda:1, ...
        resume: folder of a checkpoint, written every `settings.checkpoint_every` iterations and gone on from.

    Returns:
        The metrics on `dev`.

    Raises:
        DatasetDMError: unknown model, unusable weights or annotations, a device that mmcv was not built for, a
            batch of one where it needs two.
    """
    where = _device(device)
    check_limits(settings)
    _quiet()
    set_random_seed(seed)
    categories = task.categories
    description = model_config(settings, len(categories))
    model = build_model(description)
    model.init_weights()
    if settings.pretrained is not None:
        load_backbone(model, weights_file(settings.pretrained))
    checkpoints = Checkpoints(resume, every=settings.checkpoint_every * settings.accumulate, end=settings.num_batches)
    if checkpoints.done:
        say(f"continues at iteration {checkpoints.done // settings.accumulate}")
    loader = train_loader(
        datasets,
        categories,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        num_batches=settings.num_batches,
        seed=seed,
        # Preparing a batch is 2 % of an iteration on the CPU; a GPU would wait for it.
        num_workers=0 if where.type == "cpu" else min(8, os.cpu_count() or 1),
        start=checkpoints.done,
    )
    curve = LossCurve(settings, where, checkpoints)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as workspace:
        _run(model, loader, curve, checkpoints, settings, where, seed, Path(workspace) / "runner")
    detector = Detector(
        model,
        categories=categories,
        image_size=settings.image_size,
        score_threshold=settings.score_threshold,
        device=where,
    )
    metrics = evaluate(detector, task, task.load(dev.folder, dev.subset))
    with replacing(out) as result:
        result.mkdir()
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(weights, result / "model.safetensors")
        curve.save(result / "curves.csv")
        write_json(result / "metrics.json", metrics)
        write_json(
            result / "config.json",
            {
                "name": settings.model,
                "image_size": settings.image_size,
                "score_threshold": settings.score_threshold,
                "categories": category_records(categories),
                "model": description,
            },
        )
    return metrics


class LossCurve(Hook):
    """Moves the model to its device at the start, then notes the mean losses of every fiftieth of the training.

    Attributes:
        rows: iteration, learning rate and mean of each loss term.
    """

    def __init__(self, settings: config.Downstream, device: torch.device, checkpoints: Checkpoints):
        self.accumulate, self.iterations = settings.accumulate, settings.iterations
        self.every = max(1, settings.iterations // 50)
        self.device = device
        self.done, self.rows = checkpoints.done, checkpoints.rows
        self._terms: list[Mapping[str, float]] = []

    def before_train(self, runner: Runner) -> None:
        """mmengine takes the first GPU wherever there is one; the settings may say otherwise."""
        runner.model.to(self.device)
        self.pace = Progress(self.iterations, "iterations", done=self.done // self.accumulate)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Take in the losses of one iteration."""
        self._terms.append({key: float(torch.as_tensor(value).detach()) for key, value in (outputs or {}).items()})
        done, within = divmod(self.done + batch_idx + 1, self.accumulate)
        if within or (done % self.every and done != self.iterations):
            return
        means = {key: float(np.mean([terms[key] for terms in self._terms])) for key in self._terms[0]}
        if not np.isfinite(means["loss"]):
            raise DatasetDMError(
                f"The detector's loss is {means['loss']} after {done} iterations. Lower downstream.learning_rate."
            )
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        self.rows.append({"iteration": done, "learning_rate": rate, **means})
        self._terms.clear()
        self.pace.update(done, f"loss {means['loss']:.3f}")

    def save(self, file: Path) -> None:
        """Write the rows as CSV."""
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _run(
    model: BaseDetector,
    loader: Any,
    curve: LossCurve,
    checkpoints: Checkpoints,
    settings: config.Downstream,
    device: torch.device,
    seed: int,
    work_dir: Path,
) -> None:
    """The training itself: AdamW, a twentieth of the iterations to warm up, then a cosine down to zero."""
    end = settings.num_batches
    warmup = max(2, end // 20)  # mmengine's LinearLR does not arrive within one iteration
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg={
            "type": "IterBasedTrainLoop",
            "max_iters": end - checkpoints.done,
            "val_interval": end,
        },
        optim_wrapper={
            **_precision(settings, device),
            "optimizer": {"type": "AdamW", "lr": settings.learning_rate, "weight_decay": 0.05, "fused": True},
            "paramwise_cfg": {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0},
            "clip_grad": {"max_norm": 5.0},
            "accumulative_counts": settings.accumulate,
        },
        param_scheduler=[
            {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": warmup},
            {"type": "CosineAnnealingLR", "by_epoch": False, "begin": warmup, "end": max(end, warmup + 1)},
        ],
        # The weights are saved as safetensors at the end, checkpoints by a hook of ours.
        default_hooks={"checkpoint": None, "logger": None, "timer": None, "sampler_seed": None},
        custom_hooks=[curve, checkpoints],
        visualizer={"type": "Visualizer", "vis_backends": []},
        randomness={"seed": seed},
        default_scope="mmdet",
        log_level="ERROR",
        experiment_name=work_dir.parent.name,
    )
    runner.train()


def _precision(settings: config.Downstream, device: torch.device) -> dict[str, str]:
    """The optimiser wrapper that sets the precision of the products."""
    if settings.autocast and MODELS[settings.model].autocast and pays_in_bfloat16(device):
        return {"type": "Bfloat16OptimWrapper"}
    return {"type": "OptimWrapper"}


def _device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU where there is one and mmcv can use it."""
    has_cuda_ops = mmcv.ops.get_compiling_cuda_version() != "not available"
    if name == "auto":
        if torch.cuda.is_available() and not has_cuda_ops:
            log.warning(
                "mmcv was built without CUDA: the downstream model runs on the CPU though there is a GPU. "
                "`make setup CUDA=1` builds it again."
            )
        return torch.device("cuda" if torch.cuda.is_available() and has_cuda_ops else "cpu")
    if name.startswith("cuda") and not has_cuda_ops:
        raise DatasetDMError(
            "mmcv was built without CUDA, so the downstream model cannot run on a GPU. Build it again with "
            "`make setup CUDA=1`, which needs the CUDA toolkit, or set backbone.device to cpu or auto."
        )
    return torch.device(name)


def _quiet() -> None:
    """mmengine logs every initialised tensor, and warns of the runner's second initialisation, which does nothing.

    Its current logger is the newest one. The last runner's writes to a file that may be closed by now, so each training
    gets a new one.
    """
    MMLogger.get_instance(f"datasetdm-{uuid4().hex}", log_level="ERROR")
