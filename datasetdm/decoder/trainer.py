"""The one loop that trains a decoder, for every task and method."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.checkpoint import build_decoder, describe_decoder, embed_vocabulary, learnt_labels, save_decoder
from datasetdm.decoder.fitting import fit
from datasetdm.decoder.inference import predict_images
from datasetdm.decoder.training_views import open_views
from datasetdm.decoder.view_features import Views
from datasetdm.decoder_methods import METHODS
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks.base import Task
from datasetdm.transforms.prompt_noise import GENERIC_PROMPT
from datasetdm.utils.checkpoints import read_checkpoint, write_checkpoint
from datasetdm.utils.files import write_json, write_text
from datasetdm.utils.progress import Progress, say
from datasetdm.utils.seeding import derived_seed

LOG_EVERY = 20  # iterations per row of the loss curve
WARM_UP = 0.05  # share of the iterations in which the learning rate rises
GRADIENT_CLIP = 1.0  # largest norm of the gradient of all parameters
UNPROMPTED = {"generic": GENERIC_PROMPT, "empty": ""}  # prompts that name no category

Row = dict[str, float]


def train_decoder(
    backbone: Backbone,
    task: Task,
    few_shot: Sequence[Sample],
    dev: Sequence[Sample],
    settings: config.Decoder,
    *,
    seed: int,
    out: Path,
    resume: Path | None = None,
) -> dict[str, float]:
    """Train a decoder on a few labelled images and keep the weights that do best on `dev`.

    A method without training (`DecoderMethod.trained`) only makes its choices on the labelled images.

    Every iteration has its own seed, so that a training that was interrupted and resumed ends with the same weights as
    one that was not.

    Args:
        backbone: the frozen diffusion model.
        task: what is learnt.
        few_shot: the labelled images.
        dev: further labelled images that decide which weights are kept; if there are none, the last weights are.
        settings: the decoder and its training.
        seed: of initialisation, views and batches.
        out: folder for `model.safetensors`, `config.json`, `metrics.json` and `curves.csv`.
        resume: folder for a checkpoint, written at every evaluation; training continues from one that is found there.

    Returns:
        The finite dev metrics with each image's caption as prompt, `<primary>_generic_prompt` ("a photo") and
        `<primary>_empty_prompt`, and the last `loss`, if there was a training.

    Raises:
        DatasetDMError: no labelled image, features beyond memory, or a loss that is not finite.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, 3))
        embeddings = embed_vocabulary(task, backbone, settings)
        decoder = build_decoder(task, backbone.feature_info, settings, embeddings).to(backbone.device)
        decoder.learnt = None if decoder.finds_any_word else learnt_labels(task, few_shot)
        if METHODS[settings.method].trained:
            rows = _optimise(DecoderTraining(backbone, task, settings, seed, decoder), few_shot, dev, resume)
        else:
            fit(backbone, decoder.eval(), task, few_shot, settings, seed=seed)
            rows = []
    metrics = _final_metrics(backbone, decoder.eval(), task, dev, settings, embeddings)
    if rows:
        metrics["loss"] = next(row["loss"] for row in reversed(rows) if "loss" in row)
    elif task.primary_metric in metrics:
        rows = [{"iteration": 0, f"dev_{task.primary_metric}": metrics[task.primary_metric]}]
    save_decoder(out, decoder, task, settings, backbone, seed)
    curves = pd.DataFrame(rows, columns=None if rows else ["iteration"])
    write_text(out / "curves.csv", curves.to_csv(index=False, lineterminator="\n"))
    write_json(out / "metrics.json", metrics)
    return metrics


def _optimise(
    training: "DecoderTraining", few_shot: Sequence[Sample], dev: Sequence[Sample], resume: Path | None
) -> list[Row]:
    """Train to the end, and give the decoder its best weights; the rows of the curve."""
    settings, decoder = training.settings, training.decoder
    checkpoint = None if resume is None else resume / "checkpoint.pt"
    if checkpoint is not None:
        training.resume(checkpoint)
    if training.iteration < settings.iterations:
        views = open_views(training.backbone, training.task, few_shot, settings, seed=training.seed)
        if training.iteration == 0:
            decoder.calibrate(views.examples())
    while training.iteration < settings.iterations:
        training.run(views, stop=min(training.iteration + settings.evaluate_every, settings.iterations))
        training.evaluate(dev)
        if checkpoint is not None:
            training.save(checkpoint)
    decoder.load_state_dict(training.best_weights)
    return training.rows


@torch.no_grad()
def evaluate(
    backbone: Backbone,
    decoder: Decoder,
    task: Task,
    samples: Sequence[Sample],
    settings: config.Decoder,
    prompt: str | None = None,
) -> dict[str, float]:
    """The task's metrics on labelled images, at their own size.

    Args:
        backbone: the frozen diffusion model.
        decoder: trained on it.
        task: what it predicts.
        samples: the labelled images.
        settings: the settings that the decoder was trained with.
        prompt: the prompt for all images; None: each image's caption.
    """
    evaluator = build_evaluator(task.settings, task.categories)
    chunk = 64  # images held in memory at a time
    for start in range(0, len(samples), chunk):
        part = [samples[position] for position in range(start, min(start + chunk, len(samples)))]
        prompts = [sample.caption if prompt is None else prompt for sample in part]
        found = predict_images(backbone, decoder, task, [sample.image for sample in part], prompts, settings)
        for sample, prediction in zip(part, found, strict=True):
            evaluator.add(sample.target, prediction.target)
    return evaluator.compute() if len(samples) else {}


class DecoderTraining:
    """A training under way: how far it is, and its best weights so far.

    Args:
        backbone: the frozen diffusion model.
        task: what is learnt.
        settings: the decoder and its training.
        seed: of the batches.
        decoder: what is trained.
    """

    def __init__(self, backbone: Backbone, task: Task, settings: config.Decoder, seed: int, decoder: Decoder):
        self.backbone, self.task, self.settings, self.seed, self.decoder = backbone, task, settings, seed, decoder
        self.optimizer = torch.optim.AdamW(
            decoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.iteration = 0
        self.rows: list[Row] = []
        self.best_score = -math.inf
        self.best_weights: dict[str, torch.Tensor] = {}

    def run(self, views: Views, *, stop: int) -> None:
        """Iterations up to `stop`, with a row of the loss curve every `LOG_EVERY`."""
        self.decoder.train()
        pace = Progress(self.settings.iterations, "iterations", done=self.iteration)
        sums: Row = {}
        count = 0
        seeds = [derived_seed(self.seed, 4, iteration) for iteration in range(self.iteration, stop)]
        batches = views.batches(seeds, self.settings.batch_size, self.backbone.device)
        for iteration, batch in enumerate(batches, start=self.iteration):
            rate = _learning_rate(iteration, self.settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = self._step(*batch, iteration)
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
            count += 1
            if (iteration + 1) % LOG_EVERY == 0 or iteration + 1 == stop:
                means = {name: value / count for name, value in sums.items()}
                self.rows.append({"iteration": iteration + 1, "learning_rate": rate, **means})
                pace.update(iteration + 1, f"loss {means['loss']:.3f}")
                sums, count = {}, 0
        self.iteration = stop

    def _step(self, features: DiffusionFeatures, targets: Sequence[Mapping[str, torch.Tensor]], iteration: int) -> Row:
        losses = self.decoder.loss(self.task, features, targets)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise DatasetDMError(
                f"The loss of the decoder is {loss.item()} at iteration {iteration + 1}: lower decoder.learning_rate "
                "in params.yaml, and check that the backbone's features are finite (backbone.dtype float32)."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), GRADIENT_CLIP)
        self.optimizer.step()
        return {"loss": loss.item(), **{name: value.item() for name, value in losses.items()}}

    def evaluate(self, dev: Sequence[Sample]) -> None:
        """Evaluate on dev, add the score to the curve, and keep the weights if they are the best so far."""
        metric, text = self.task.primary_metric, f"loss {self.rows[-1]['loss']:.3f}"
        score = math.nan
        if len(dev):
            score = evaluate(self.backbone, self.decoder.eval(), self.task, dev, self.settings)[metric]
            text += f", dev {metric} {score:.4f}"
            if math.isfinite(score):
                self.rows[-1][f"dev_{metric}"] = score
        merit = score if self.task.higher_is_better else -score
        if not merit <= self.best_score:  # a score of NaN keeps the latest weights
            weights = self.decoder.state_dict().items()
            self.best_weights = {name: value.detach().cpu().clone() for name, value in weights}
            self.best_score = merit if math.isfinite(merit) else self.best_score
        say(f"iteration {self.iteration} of {self.settings.iterations}: {text}")

    def save(self, checkpoint: Path) -> None:
        """Write all that `resume` needs."""
        content = {
            "identity": self._identity(),
            "decoder": self.decoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "rows": self.rows,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }
        write_checkpoint(checkpoint, content)

    def resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint of the same training, if there is one that is not damaged."""
        content = read_checkpoint(checkpoint)
        if content is None:
            return
        if content.get("identity") != self._identity():
            say(f"{checkpoint} is of other settings and is not used")
            return
        self.decoder.load_state_dict(content["decoder"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.iteration, self.rows = content["iteration"], content["rows"]
        self.best_score, self.best_weights = content["best_score"], content["best_weights"]
        say(f"continues at iteration {self.iteration}")

    def _identity(self) -> str:
        return json.dumps(describe_decoder(self.task, self.settings, self.backbone, self.seed), sort_keys=True)


def num_evaluated(settings: config.Decoder) -> int:
    """How often a training evaluates all of dev: on the way, and at its end with three kinds of prompt."""
    on_the_way = math.ceil(settings.iterations / settings.evaluate_every) if METHODS[settings.method].trained else 0
    return on_the_way + 1 + len(UNPROMPTED)


def _learning_rate(iteration: int, settings: config.Decoder) -> float:
    """Linear warm-up, then half a cosine down to zero.

    transformers' `get_cosine_schedule_with_warmup` wastes the first step: its warm-up starts at zero.
    """
    warm_up = max(1, round(WARM_UP * settings.iterations))
    if iteration < warm_up:
        return settings.learning_rate * (iteration + 1) / warm_up
    done = (iteration - warm_up) / max(1, settings.iterations - warm_up)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _final_metrics(
    backbone: Backbone,
    decoder: Decoder,
    task: Task,
    dev: Sequence[Sample],
    settings: config.Decoder,
    embeddings: torch.Tensor | None,
) -> dict[str, float]:
    """Dev metrics with three kinds of prompt; the gap to the last two is what the decoder takes from the text.

    Those two (`UNPROMPTED`) do not rule out any category, whatever `category_from_prompt` says.
    """
    if not len(dev):
        return {}
    metrics = evaluate(backbone, decoder, task, dev, settings)
    unprompted = settings.model_copy(update={"category_from_prompt": False})
    free = build_decoder(task, backbone.feature_info, unprompted, embeddings).to(backbone.device).eval()
    free.load_state_dict(decoder.state_dict())
    free.learnt = decoder.learnt
    for kind, prompt in UNPROMPTED.items():
        score = evaluate(backbone, free, task, dev, unprompted, prompt)[task.primary_metric]
        metrics[f"{task.primary_metric}_{kind}_prompt"] = score
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
