"""From labelled images to annotated ones that were drawn: a decoder is trained on each family, and reads its images."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.trainer import train_decoder
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.synthesis.generate import Annotator, make_requests, synthesize
from datasetdm.tasks.instance import InstanceTask
from tests.diffusion.families import tiny
from tests.transforms.shapes import make_sample

QUICK = ("sdxl", "flux")  # a U-Net and a transformer; the others are as quick, and there are many tests


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in QUICK else pytest.mark.extended) for name in tiny.BUILDERS]
)
def test_a_decoder_learns_and_annotates(family: str, tmp_path: Path) -> None:
    backbone = build(family)
    task = InstanceTask([Category(id=3, name="box"), Category(id=7, name="disc")])
    settings = config.Decoder(
        hidden_dim=16, num_queries=4, num_layers=1, num_heads=2, feedforward_dim=16, views_per_image=2, iterations=3,
        batch_size=2, evaluate_every=3, train_timesteps=(0.001, 0.2), timestep=0.05, learning_rate=2e-3,
    )  # fmt: skip
    metrics = train_decoder(backbone, task, [make_sample(0), make_sample(1)], [], settings, seed=0, out=tmp_path)
    assert 0 < metrics["loss"] < 1000
    decoder, _, loaded = load_decoder(tmp_path, backbone)
    assert loaded == settings and loaded.timestep == 0.05
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=loaded)
    table = pd.DataFrame({"id": [0], "prompt": ["a photo of a box"], "categories": [""], "kind": [""]})
    requests = make_requests(table, 2, 0)
    sampler, keep_all = {"num_inference_steps": 2, "scheduler": "model"}, {"score_threshold": 0, "min_area": 0}
    for extraction in ("renoised", "last_step"):
        asked = config.Synthesis.model_validate(
            {"num_images": 2, "batch_size": 2, "extraction": extraction, "sampler": sampler, "filter": keep_all}
        )
        drawn = list(synthesize(backbone, task, [annotator], requests, asked))
        assert [one.image.shape for one in drawn] == [(64, 64, 3)] * 2
        assert all(one.acceptances["seed_0"].target.masks.shape[1:] == (64, 64) for one in drawn)
        (alone,) = synthesize(backbone, task, [annotator], requests[1:], asked)
        assert (alone.image == drawn[1].image).all()
        found, again = (one.acceptances["seed_0"].target for one in (drawn[1], alone))
        assert found.masks.shape == again.masks.shape and (found.masks == again.masks).all()


def build(family: str) -> PipelineBackbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = tiny.BUILDERS[family]()
    return tiny.CLASSES[family](pipeline, image_size=64, device=torch.device("cpu"), fingerprint="x")
