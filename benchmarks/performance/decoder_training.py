"""Training the P-Decoder: ours against a loop that computes each sample's features when it is its turn."""

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.performance.measurement import Measurement, seconds_of
from benchmarks.performance.project import small_benchmark
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.decoder.fresh_views import FreshViews
from datasetdm.decoder.trainer import train_decoder
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.stages import STAGES

STEPS = 20  # of the reference


def measure(data: Path, *, dtype: str | None = None, iterations: int | None = None) -> Measurement:
    """Seconds per training sample, with the settings of `coco` in params.yaml.

    Ours includes the views that are cached before the first iteration.

    Args:
        data: folder of the benchmark.
        dtype: of our diffusion model; None: as in params.yaml.
        iterations: of our training; None: as in params.yaml.
    """
    settings = open_context("coco").settings.decoder
    length = {"iterations": iterations or settings.iterations, "evaluate_every": 10**6}
    context = small_benchmark(data, dtype=dtype, decoder={**dict(settings), **length})
    run_stage(STAGES["ingest"], context)
    few_shot = standard_format(*context.task().kind).load(context.paths.real, "few_shot_0")
    ours = seconds_of(lambda: _train(context, few_shot, data / "trained"))
    samples = context.settings.decoder.iterations * context.settings.decoder.batch_size
    return Measurement(
        ours=ours / samples,
        reference=seconds_of(lambda: _train_one_by_one(context, few_shot)) / STEPS,
        unit="seconds per training sample",
        higher_is_better=False,
        of="cached views in batches; fresh features for every sample, batch 1",
        details={"iterations": context.settings.decoder.iterations, "batch_size": context.settings.decoder.batch_size},
    )


def _train(context: Context, few_shot: Sequence[Sample], out: Path) -> None:
    train_decoder(context.backbone(), context.task(), few_shot, [], context.settings.decoder, seed=0, out=out)


def _train_one_by_one(context: Context, few_shot: Sequence[Sample]) -> None:
    task, backbone, settings = context.task(), context.backbone(), context.settings.decoder
    views = FreshViews(backbone, task, few_shot, settings)
    decoder = build_decoder(task, backbone.feature_info, settings, None).to(backbone.device)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=settings.learning_rate)
    for features, targets in views.batches(range(STEPS), 1, backbone.device):
        loss = torch.stack(list(task.loss(decoder(features), targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
