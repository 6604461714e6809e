"""A project with a small drawn set and untrained models: real stages draw and publish, but nothing is trained.

Its labelled images are photographs of odd sizes (noise, as their content does not matter), not the embedded world.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import build_decoder, save_decoder
from datasetdm.downstream.dense import DenseModel
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.stages import compare, synthesize, train_decoder, train_downstream
from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrasts
from datasetdm.utils.files import write_json, write_text

ROOT = Path(__file__).parents[2]
CATEGORIES = (Category(id=3, name="dog"), Category(id=17, name="traffic light"))
SEEDS = (0, 1)
PROMPTS = ("two dogs on the grass", 'a "red" car, & a house at night', "a photo of a dog")
FIGURES = {"real": (0.20, 0.24), "synthetic": (0.18, 0.21), "both": (0.30, 0.33), "p_decoder": (0.15, 0.17)}


def settings(weights: Path) -> dict[str, Any]:
    """The content of `params.yaml`; the diffusion model lies at an absolute path, as a person's may."""
    decoder = {"hidden_dim": 32, "num_heads": 4, "num_queries": 3, "num_layers": 1, "feedforward_dim": 16}
    block = {
        "task": "semantic",
        "seeds": list(SEEDS),
        "source": {"format": "voc", "root": "/home/ann/photos of toys"},
        "ingest": {"num_real": 3, "num_dev": 2},
        "decoder": {**decoder, "iterations": 1, "batch_size": 1, "evaluate_every": 1},
        "prompts": {"num_prompts": 3},
        "synthesis": {
            "num_images": 3,
            "batch_size": 2,
            "sampler": {"num_inference_steps": 2, "guidance_scale": 3.0, "guidance_rescale": 0.5},
            "filter": {"score_threshold": 0.0, "min_area": 0.0},
        },
        "augmentation": {"num_images": 0, "proportions": {"1x2": 1}, "max_size": 128},
        "downstream": {
            "model": "upernet_r18", "image_size": 64, "iterations": 1, "batch_size": 2, "learning_rate": 0.001
        },
        "experiment": {"arms": ["real", "synthetic", "both"], "p_decoder": True},
    }  # fmt: skip
    backbone = {"path": str(weights), "image_size": 128, "allow_mismatch": True}
    return {"device": "cpu", "backbone": backbone, "benchmarks": {"coco": block}}


def make_project(folder: Path) -> None:
    """Make the project in the current folder, which is `folder`."""
    weights = folder / "weights of ann" / "miniworld"
    weights.parent.mkdir()
    weights.symlink_to(ROOT / "data/backbones/miniworld")
    content = settings(weights)
    write_params(content)
    real = folder / "data/real/coco"
    write_json(real / "categories.json", [asdict(category) for category in CATEGORIES])
    write_json(real / "ingest.json", {})
    prompts = {"id": range(3), "prompt": PROMPTS, "categories": ["dog", "", "dog"], "kind": "mine"}
    write_text(folder / "data/prompts/coco.csv", pd.DataFrame(prompts).to_csv(index=False))

    context = open_context("coco")
    files = standard_format(*context.task().kind)
    for subset in ("few_shot_0", "few_shot_1", "dev"):
        files.save(real, subset, photographs(3))
    _save_decoders(context)
    run_stage(synthesize.STAGE, context)
    scores = synthesize.read_manifest(context, context.paths.synthetic).query("decoder == 'seed_1'")["score"]
    content["benchmarks"]["coco"]["synthesis"]["filter"]["score_threshold"] = float(scores.median())
    write_params(content)
    context = open_context("coco")
    run_stage(synthesize.STAGE, context)
    _save_models(context)
    _save_report(context)


def write_params(content: dict[str, Any]) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(content))


def photographs(count: int) -> Sequence[Sample]:
    rng = np.random.default_rng(0)
    sizes = [(37, 61), (90, 40), (128, 127)][:count]
    return [
        Sample(
            name=f"photo {number}.png",
            image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
            caption="a photo",
            target=SemanticMap.of(rng.integers(0, 2, size, dtype=np.uint8)),
        )
        for number, size in enumerate(sizes)
    ]


def _save_decoders(context: Context) -> None:
    backbone, task, reading = context.backbone(), context.task(), context.settings.decoder
    with publish_checked(train_decoder.STAGE, context) as folder:
        for seed in SEEDS:
            torch.manual_seed(0)  # the same weights for both, so that both accept and reject the same images
            decoder = build_decoder(task, backbone.feature_info, reading, None)
            save_decoder(folder / str(seed), decoder, task, reading, backbone, seed)
            write_json(folder / str(seed) / "metrics.json", {"miou": 0.1 + seed / 10, "pixel_accuracy": 0.5})


def _save_models(context: Context) -> None:
    torch.manual_seed(0)
    model = DenseModel.build(context.settings.downstream, context.task())
    with publish_checked(train_downstream.STAGE, context) as folder:
        for arm in context.settings.experiment.arms:
            for seed in SEEDS:
                place = folder / arm / str(seed)
                place.mkdir(parents=True)
                model.save(place)
                write_json(place / "metrics.json", {"miou": FIGURES[arm][seed] + 0.01})


def _save_report(context: Context) -> None:
    per_seed = {arm: {seed: {"miou": values[seed]} for seed in SEEDS} for arm, values in FIGURES.items()}
    arms = summarize(per_seed)
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    metrics = {
        "benchmark": "coco", "task": "semantic", "world": "real", "headline": ["miou"], "num_real": 3,
        "num_synthetic": int(manifest["accepted"].sum()) // 2, "num_generated": 3, "num_spliced": 0, "num_oracle": 0,
        "arms": arms, "contrasts": contrasts(arms, ["miou"]), "baseline": {}, "dev": {},
    }  # fmt: skip
    with publish_checked(compare.STAGE, context) as folder:
        write_json(folder / "metrics.json", metrics)
