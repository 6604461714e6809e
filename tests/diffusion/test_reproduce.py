"""The lines of docs/reproduce.md, run as they stand there, give the pixels of the set."""

import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.diffusion import load_backbone
from datasetdm.synthesis.generate import Annotator, draw, make_requests, synthesize
from datasetdm.synthesis.manifest import manifest_rows
from datasetdm.tasks.instance import InstanceTask
from datasetdm.transforms.splice import augment_with_rows
from datasetdm.utils.files import write_image

ROOT = Path(__file__).parents[2]
DRAWN, SPLICED = re.findall(r"```python\n(.*?)```", (ROOT / "docs/reproduce.md").read_text(), flags=re.DOTALL)
TASK = InstanceTask([Category(id=1, name="dog"), Category(id=2, name="car")])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/backbones").symlink_to(ROOT / "data/backbones")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(lines: str, **values: Any) -> np.ndarray:
    """The picture that the lines leave, those of the row at `position` in place of the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(lines.replace(".iloc[0]", f".iloc[{values['position']}]"), "docs/reproduce.md", "exec"), {})
    with Image.open("again.png") as picture:
        return np.array(picture)


@pytest.mark.parametrize(
    ("scheduler", "guidance", "rescale", "extraction"),
    [("dpmsolver++", 4.0, 0.8, "renoised"), ("ddim", 2.5, 0.0, "last_step"), ("model", 1.0, 0.0, "renoised")],
)
def test_a_row_and_plain_diffusers_give_the_same_pixels(project, scheduler, guidance, rescale, extraction) -> None:
    backbone = load_backbone(config.Backbone(path="data/backbones/miniworld", image_size=128), "cpu")
    sampler = config.Sampler(
        num_inference_steps=4, scheduler=scheduler, guidance_scale=guidance, guidance_rescale=rescale
    )
    settings = config.Synthesis(num_images=3, extraction=extraction, sampler=sampler, filter=config.Filter())
    reading = config.Decoder(hidden_dim=32, num_heads=4, num_queries=3, num_layers=1, feedforward_dim=16)
    decoder = build_decoder(TASK, backbone.feature_info, reading, None).eval()
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=reading)
    prompts = pd.DataFrame({"id": [3, 4], "prompt": ["two dogs on the grass", "a photo of a red car"]})
    requests = make_requests(prompts.assign(categories=["dog", "car"], kind="mine"), 3, seed=5)
    latents = draw(backbone, requests, sampler, 8) if extraction == "renoised" else None
    drawn = list(synthesize(backbone, TASK, [annotator], requests, settings, latents))
    rows = [row for one in drawn for row in manifest_rows(one, [annotator], backbone, settings)]
    folder = project / "data/synthetic/coco"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)
    assert len({one.image.tobytes() for one in drawn}) == 3
    for position in (0, 2):
        np.testing.assert_array_equal(run(DRAWN, position=position), drawn[position].image)


def test_rows_say_what_they_were_made_with(project) -> None:
    settings = config.Backbone(path="data/backbones/miniworld", image_size=128, dtype="bfloat16")
    origin = load_backbone(settings, "cpu").provenance("ddim")
    assert origin["model_path"] == "data/backbones/miniworld" and origin["model_revision"] is None
    assert origin["model_dtype"] == "bfloat16" and origin["image_size"] == 128 and origin["device"] == "cpu"
    assert origin["scheduler_class"] == "DDIMScheduler" and origin["torch_version"] == version("torch")


@pytest.mark.parametrize("max_size", [400, 90])
def test_the_row_of_a_splice_gives_the_same_pixels(project, max_size) -> None:
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (64, 48), (100, 120), (33, 51)]
    samples = [
        Sample(
            name=f"{number}.png",
            image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
            caption="",
            target=Instances.empty(*size),
        )
        for number, size in enumerate(sizes)
    ]
    for sample in samples:
        write_image(project / "data/synthetic/coco/images" / sample.name, sample.image)
    settings = config.Augmentation(num_images=6, proportions={"1x2": 1, "2x2": 1, "2x3": 1}, max_size=max_size, seed=3)
    spliced, rows = zip(*augment_with_rows(samples, settings), strict=True)
    folder = project / "data/augmented/coco"
    folder.mkdir(parents=True)
    frame = pd.DataFrame([{**row, "source_folder": "data/synthetic/coco"} for row in rows])
    frame.to_parquet(folder / "manifest.parquet", index=False)
    for position, sample in enumerate(spliced):
        np.testing.assert_array_equal(run(SPLICED, position=position), sample.image)
    assert [row["image"] for row in rows] == [sample.name for sample in spliced]


def test_the_embedded_model_draws_in_a_bare_pipeline() -> None:
    """As its card says, without a word on precision or size."""
    pipe = StableDiffusionPipeline.from_pretrained(ROOT / "data/backbones/miniworld")
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
    picture = pipe("a photo of a dog", num_inference_steps=2, guidance_scale=3).images[0]
    assert picture.size == (128, 128) and np.array(picture).std() > 5
