"""The one loop that trains a P-Decoder, for every task."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.checkpoint import build_decoder, describe_decoder, embed_vocabulary, learnt_labels, save_decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.decoder.view_features import Views, open_views
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

Row = dict[str, float]


@dataclass
class _State:
    """How far a training is, and its best weights so far."""

    iteration: int = 0
    rows: list[Row] = field(default_factory=list)
    best_score: float = -math.inf
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)


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
    """Train a P-Decoder on a few labelled images and keep the weights that do best on `dev`.

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
        `<primary>_empty_prompt`, and the last `loss`.

    Raises:
        DatasetDMError: no labelled image, features beyond memory, or a loss that is not finite.
    """
    identity = json.dumps(describe_decoder(task, settings, backbone, seed), sort_keys=True)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, 3))
        embeddings = embed_vocabulary(task, backbone)
        decoder = build_decoder(task, backbone.feature_info, settings, embeddings).to(backbone.device)
        decoder.learnt = learnt_labels(task, few_shot)
        optimizer = torch.optim.AdamW(
            decoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        checkpoint = None if resume is None else resume / "checkpoint.pt"
        state = _resumed(checkpoint, identity, decoder, optimizer) or _State()
        if state.iteration < settings.iterations:
            views = open_views(backbone, task, few_shot, settings, seed=seed)
            if state.iteration == 0:
                decoder.calibrate(views.examples())
        while state.iteration < settings.iterations:
            stop = min(state.iteration + settings.evaluate_every, settings.iterations)
            _run(decoder, optimizer, task, views, settings, seed, state, stop, backbone.device)
            _evaluate_on_dev(backbone, decoder, task, dev, settings, state)
            if checkpoint is not None:
                _save_checkpoint(checkpoint, identity, decoder, optimizer, state)
    decoder.load_state_dict(state.best_weights)
    metrics = _final_metrics(backbone, decoder.eval(), task, dev, settings, embeddings)
    metrics["loss"] = next(row["loss"] for row in reversed(state.rows) if "loss" in row)
    save_decoder(out, decoder, task, settings, backbone, seed)
    write_text(out / "curves.csv", pd.DataFrame(state.rows).to_csv(index=False, lineterminator="\n"))
    write_json(out / "metrics.json", metrics)
    return metrics


@torch.no_grad()
def evaluate(
    backbone: Backbone,
    decoder: PDecoder,
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


def _run(
    decoder: PDecoder,
    optimizer: torch.optim.Optimizer,
    task: Task,
    views: Views,
    settings: config.Decoder,
    seed: int,
    state: _State,
    stop: int,
    device: torch.device,
) -> None:
    """Iterations up to `stop`, with a row of the loss curve every `LOG_EVERY`."""
    decoder.train()
    pace = Progress(settings.iterations, "iterations", done=state.iteration)
    sums: Row = {}
    count = 0
    for iteration in range(state.iteration, stop):
        torch.manual_seed(derived_seed(seed, 4, iteration))
        rate = _learning_rate(iteration, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        features, targets = views.sample(settings.batch_size, device)
        losses = _step(decoder, optimizer, task, features, targets, iteration)
        sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        count += 1
        if (iteration + 1) % LOG_EVERY == 0 or iteration + 1 == stop:
            means = {name: value / count for name, value in sums.items()}
            state.rows.append({"iteration": iteration + 1, "learning_rate": rate, **means})
            pace.update(iteration + 1, f"loss {means['loss']:.3f}")
            sums, count = {}, 0
    state.iteration = stop


def _step(
    decoder: PDecoder,
    optimizer: torch.optim.Optimizer,
    task: Task,
    features: DiffusionFeatures,
    targets: Sequence[Mapping[str, torch.Tensor]],
    iteration: int,
) -> Row:
    losses = task.loss(decoder(features), targets)
    loss = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(loss):
        raise DatasetDMError(
            f"The loss of the decoder is {loss.item()} at iteration {iteration + 1}: lower decoder.learning_rate in "
            "params.yaml, and check that the backbone's features are finite (backbone.dtype float32)."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(decoder.parameters(), GRADIENT_CLIP)
    optimizer.step()
    return {"loss": loss.item(), **{name: value.item() for name, value in losses.items()}}


def _learning_rate(iteration: int, settings: config.Decoder) -> float:
    """Linear warm-up, then half a cosine down to zero.

    transformers' `get_cosine_schedule_with_warmup` wastes the first step: its warm-up starts at zero.
    """
    warm_up = max(1, round(WARM_UP * settings.iterations))
    if iteration < warm_up:
        return settings.learning_rate * (iteration + 1) / warm_up
    done = (iteration - warm_up) / max(1, settings.iterations - warm_up)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _evaluate_on_dev(
    backbone: Backbone,
    decoder: PDecoder,
    task: Task,
    dev: Sequence[Sample],
    settings: config.Decoder,
    state: _State,
) -> None:
    """Evaluate on dev, add the score to the curve, and keep the weights if they are the best so far."""
    text = f"iteration {state.iteration} of {settings.iterations}: loss {state.rows[-1]['loss']:.3f}"
    score = math.nan
    if len(dev):
        score = evaluate(backbone, decoder.eval(), task, dev, settings)[task.primary_metric]
        text += f", dev {task.primary_metric} {score:.4f}"
        if math.isfinite(score):
            state.rows[-1][f"dev_{task.primary_metric}"] = score
    merit = score if task.higher_is_better else -score
    if not merit <= state.best_score:  # a score of NaN keeps the latest weights
        state.best_weights = {name: value.detach().cpu().clone() for name, value in decoder.state_dict().items()}
        state.best_score = merit if math.isfinite(merit) else state.best_score
    say(text)


def _final_metrics(
    backbone: Backbone,
    decoder: PDecoder,
    task: Task,
    dev: Sequence[Sample],
    settings: config.Decoder,
    embeddings: torch.Tensor | None,
) -> dict[str, float]:
    """Dev metrics with three kinds of prompt; the gap to the last two is what the decoder takes from the text.

    Those two name no category, so they do not rule out any, whatever `category_from_prompt` says.
    """
    if not len(dev):
        return {}
    metrics = evaluate(backbone, decoder, task, dev, settings)
    unprompted = settings.model_copy(update={"category_from_prompt": False})
    free = build_decoder(task, backbone.feature_info, unprompted, embeddings).to(backbone.device).eval()
    free.load_state_dict(decoder.state_dict())
    free.learnt = decoder.learnt
    for kind, prompt in (("generic", GENERIC_PROMPT), ("empty", "")):
        score = evaluate(backbone, free, task, dev, unprompted, prompt)[task.primary_metric]
        metrics[f"{task.primary_metric}_{kind}_prompt"] = score
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _save_checkpoint(
    path: Path, identity: str, decoder: PDecoder, optimizer: torch.optim.Optimizer, state: _State
) -> None:
    content = {
        "identity": identity,
        "decoder": decoder.state_dict(),
        "optimizer": optimizer.state_dict(),
        "iteration": state.iteration,
        "rows": state.rows,
        "best_score": state.best_score,
        "best_weights": state.best_weights,
    }
    write_checkpoint(path, content)


def _resumed(
    path: Path | None,
    identity: str,
    decoder: PDecoder,
    optimizer: torch.optim.Optimizer,
) -> _State | None:
    """Load a checkpoint of the same training; None if there is none, or a damaged one."""
    content = None if path is None else read_checkpoint(path)
    if content is None:
        return None
    if content.get("identity") != identity:
        say(f"{path} is of other settings and is not used")
        return None
    decoder.load_state_dict(content["decoder"])
    optimizer.load_state_dict(content["optimizer"])
    say(f"continues at iteration {content['iteration']}")
    return _State(content["iteration"], content["rows"], content["best_score"], content["best_weights"])
