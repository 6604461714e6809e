"""The pretraining, every stage for two steps, and what it leaves behind."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from diffusers import StableDiffusionPipeline
from pydantic import ValidationError
from safetensors.torch import load_file

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.pretraining import progress
from datasetdm.miniworld.pretraining.alignment import TARGET_CHANNELS, Aligner, alignment_loss, read_targets
from datasetdm.miniworld.pretraining.autoencoder import (
    build_autoencoder,
    load_autoencoder,
    to_tensor,
    train_autoencoder,
)
from datasetdm.miniworld.pretraining.denoiser import (
    add_noise,
    build_denoiser,
    build_scheduler,
    encode_pool,
    load_denoiser,
)
from datasetdm.miniworld.pretraining.perceptual import PerceptualLoss
from datasetdm.miniworld.pretraining.pool import ImagePool, halved, load_pool
from datasetdm.miniworld.pretraining.pretrain_diffusion import pretrain_diffusion
from datasetdm.miniworld.pretraining.pretrain_resnet import caption_tags, train_resnet
from datasetdm.miniworld.pretraining.recipe import Recipe, Teacher, load_recipe
from datasetdm.miniworld.pretraining.resnet import ResNet18, load_resnet
from datasetdm.miniworld.pretraining.tokenizer import build_tokenizer
from datasetdm.utils.normalisation import normalise

RECIPE = """
name: tiny
work: {folder}/work
export: {folder}/tiny
images: {{num_images: 8, size: 32, workers: 1}}
autoencoder:
  channels: 8
  encoder_blocks: [0, 0, 1]
  decoder_blocks: [1, 0, 1]
  steps: 2
  decoder_steps: 2
  crops: [16]
  pixels: 512
  learning_rate: 0.001
text_encoder: {{hidden_size: 16, num_layers: 1, num_heads: 2, max_length: 16}}
unet: {{block_out_channels: [8, 16], head_dim: 8, norm_num_groups: 4}}
phases:
  - {{image_size: 16, steps: 2, batch_size: 4, learning_rate: 0.001, warmup: 1}}
  - {{image_size: 32, steps: 2, batch_size: 2, learning_rate: 0.001, decay: 0.5}}
checkpoint_every: 1
export_every: 2
tagger: {{image_sizes: [32], steps: 2, batch_size: 4, learning_rate: 0.001, export: {folder}/resnet}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(folder=tmp_path))
    return load_recipe(path)


@pytest.fixture
def pool() -> ImagePool:
    """Flat squares, dark ones called dogs."""
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, (8, 1, 1, 3))
    images = np.broadcast_to(shades, (8, 32, 32, 3)).astype(np.uint8)
    return ImagePool(
        images=[images], captions=[["a dog", "two dogs"] if shade.mean() < 128 else ["a car", ""] for shade in shades]
    )


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasetdm.miniworld.pretraining.pool.SHARD_SIZE", 4)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def test_all_stages_run_resume_and_export_a_pipeline(recipe: Recipe, small_shards: None) -> None:
    pretrain_diffusion(recipe)
    backbone = load_backbone(config.Backbone(path=str(recipe.export), image_size=32), "cpu")
    assert backbone.latent_shape == (4, 8, 8)
    drawn = backbone.generate(
        ["a dog"],
        generators=[torch.Generator().manual_seed(0)],
        num_inference_steps=2,
        guidance_scale=2,
        scheduler="dpmsolver++",
    )
    assert torch.isfinite(drawn.latents).all()
    bare = StableDiffusionPipeline.from_pretrained(recipe.export)
    assert bare.text_encoder.dtype == bare.unet.dtype == torch.float32
    card = (recipe.export / "README.md").read_text()
    assert "never on labels" in card and "| samples seen | 12 |" in card

    # A second run finds everything done and leaves the weights as they are.
    before = weights_of(recipe.export)
    pretrain_diffusion(recipe)
    after = weights_of(recipe.export)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    recipe: Recipe, small_shards: None, tmp_path: Path
) -> None:
    pretrain_diffusion(recipe)
    folder = tmp_path / "again"
    again = recipe.model_copy(update={"work": folder / "work", "export": folder / "tiny"})
    first_phase = again.model_copy(update={"phases": again.phases[:1]})
    pretrain_diffusion(first_phase)
    pretrain_diffusion(again)
    whole, parts = weights_of(recipe.export), weights_of(again.export)
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], rtol=1e-2, atol=1e-3)


def test_an_aligned_training_resumes_and_exports_the_pipeline_alone(recipe: Recipe, small_shards: None) -> None:
    images = recipe.images
    pool = load_pool(recipe.work / "images", num_images=8, size=images.size, seed=images.seed, workers=1)
    train_resnet(recipe, pool, caption_tags(pool.captions, ["dog", "car"]))
    aligned = recipe.model_copy(update={"alignment": Teacher(resnet=recipe.tagger.export)})
    pretrain_diffusion(aligned.model_copy(update={"phases": recipe.phases[:1]}))
    pretrain_diffusion(aligned)
    plain = recipe.model_copy(update={"work": recipe.work / "plain", "export": recipe.work / "plain_export"})
    pretrain_diffusion(plain)
    with_it, without = weights_of(aligned.export), weights_of(plain.export)
    assert with_it.keys() == without.keys()
    assert not all(torch.equal(with_it[name], without[name]) for name in with_it)
    assert "`resnet`, weight 0.5" in (aligned.export / "README.md").read_text()


def test_a_training_starts_from_exported_weights(recipe: Recipe, small_shards: None) -> None:
    pretrain_diffusion(recipe)
    untrained = {"work": recipe.work / "more", "export": recipe.work / "more_export", "start": recipe.export}
    still = recipe.phases[1].model_copy(update={"steps": 1, "learning_rate": 1e-12})
    pretrain_diffusion(recipe.model_copy(update={**untrained, "phases": (still,)}))
    before, after = weights_of(recipe.export), weights_of(recipe.work / "more_export")
    for name, value in before.items():
        torch.testing.assert_close(value, after[name], rtol=1e-2, atol=1e-4)
    assert not (recipe.work / "more" / "autoencoder.pt").exists()
    pixels = "vae/diffusion_pytorch_model.safetensors"
    assert (recipe.export / pixels).read_bytes() == (recipe.work / "more_export" / pixels).read_bytes()
    for load in (load_denoiser, lambda folder: load_autoencoder(folder, "cpu")):
        with pytest.raises(DatasetDMError, match="start"):
            load(recipe.work)


def test_a_cuda_graph_is_refused_where_there_is_no_gpu(recipe: Recipe) -> None:
    with pytest.raises(ValidationError, match="cuda_graph: false"):
        Recipe.model_validate({**recipe.model_dump(), "cuda_graph": True})


def test_the_aligner_learns_what_the_resnet_sees(recipe: Recipe, pool: ImagePool) -> None:
    train_resnet(recipe, pool, caption_tags(pool.captions, ["dog", "car"]))
    targets = read_targets(pool, recipe.tagger.export, "cpu")
    index = torch.tensor([3, 1, 3])
    seen = load_resnet(recipe.tagger.export).stages(normalise(pool.images[0][[3, 1, 3]]))[2]
    assert seen.shape == (3, TARGET_CHANNELS, 2, 2)
    torch.testing.assert_close(targets[index].float(), seen, rtol=1e-2, atol=1e-2)
    model = build_denoiser(recipe, build_tokenizer(["dog"], 16))
    aligner = Aligner(model.unet)
    ids = torch.zeros(3, 16, dtype=torch.long)
    latents = torch.randn(3, 4, 8, 8)

    def loss() -> torch.Tensor:
        model(latents, torch.tensor([10, 500, 900]), ids)
        return alignment_loss(aligner(), targets[index])

    optimizer = torch.optim.Adam([*model.parameters(), *aligner.parameters()], lr=3e-3)
    start = loss().item()
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.8 * start


def test_a_missing_resnet_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="--part resnet"):
        load_resnet(tmp_path)


def test_rendered_shards_are_kept_and_seeded(tmp_path: Path, small_shards: None) -> None:
    pool = load_pool(tmp_path / "a", num_images=6, size=32, seed=5, workers=1)
    assert len(pool) == 8 and pool[7].shape == (32, 32, 3) and len(pool.captions[0]) == 4
    stamp = (tmp_path / "a" / "images-00001.npy").stat().st_mtime_ns
    load_pool(tmp_path / "a", num_images=6, size=32, seed=5, workers=1)
    assert (tmp_path / "a" / "images-00001.npy").stat().st_mtime_ns == stamp
    same = load_pool(tmp_path / "b", num_images=4, size=32, seed=5, workers=1)
    other = load_pool(tmp_path / "c", num_images=4, size=32, seed=6, workers=1)
    assert np.array_equal(same[2], pool[2]) and same.captions[2] == pool.captions[2]
    assert not np.array_equal(other[2], pool[2])


def test_halving_is_the_mean_of_four() -> None:
    image = np.array([[0, 2], [4, 250]], np.uint8)[None, :, :, None].repeat(3, -1)
    assert halved(image).tolist() == [[[[64, 64, 64]]]]


def test_the_untrained_autoencoder_averages_blocks(recipe: Recipe, pool: ImagePool) -> None:
    vae = build_autoencoder(recipe)
    images = to_tensor(pool.images[0])
    with torch.no_grad():
        decoded = vae.decode(vae.encode(images).latents).sample
    # The decoder's clamp bends strong colours a little.
    assert (decoded - images).abs().mean() < 0.15


def test_the_second_course_leaves_the_latents_as_they_are(recipe: Recipe, pool: ImagePool, tmp_path: Path) -> None:
    whole = recipe.model_copy(update={"autoencoder": recipe.autoencoder.model_copy(update={"decoder_steps": 0})})
    images = to_tensor(pool.images[0])
    before = train_autoencoder(whole, pool)
    after = train_autoencoder(recipe, pool)
    latents = before.encode(images).latents
    assert torch.equal(latents, after.encode(images).latents)
    assert not torch.equal(before.decode(latents).sample, after.decode(latents).sample)


def test_the_perceptual_loss_sees_blur_and_teaches_the_decoder(recipe: Recipe, pool: ImagePool) -> None:
    train_resnet(recipe, pool, caption_tags(pool.captions, ["dog", "car"]))
    settings = recipe.autoencoder.model_copy(update={"perceptual": Teacher(resnet=recipe.tagger.export)})
    loss = PerceptualLoss(recipe.tagger.export)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    blurred = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0).requires_grad_()
    originals = images.clone().requires_grad_()
    assert loss(images, images) == 0
    loss(blurred, originals).backward()
    assert blurred.grad is not None and blurred.grad.abs().sum() > 0 and originals.grad is None
    plain = train_autoencoder(recipe, pool)
    taught = train_autoencoder(
        recipe.model_copy(update={"autoencoder": settings, "work": recipe.work / "taught"}), pool
    )
    assert not all(torch.equal(a, b) for a, b in zip(plain.parameters(), taught.parameters(), strict=True))


def test_the_pools_latents_are_those_of_the_encoder(recipe: Recipe, pool: ImagePool) -> None:
    vae = build_autoencoder(recipe).requires_grad_(False)
    expected = vae.encode(F.avg_pool2d(to_tensor(pool.images[0]), 2)).latents
    torch.testing.assert_close(encode_pool(pool, vae, 16).float(), expected, rtol=1e-2, atol=1e-2)


def test_the_loss_keeps_the_terminal_step_and_falls_when_v_is_right(recipe: Recipe) -> None:
    tokenizer = build_tokenizer(["dog"], 16)
    model = build_denoiser(recipe, tokenizer)
    scheduler = build_scheduler()
    assert scheduler.alphas_cumprod[-1] == 0
    latents = torch.randn(8, 4, 4, 4)
    ids = tokenizer(["dog"] * 8, padding="max_length", max_length=16, return_tensors="pt").input_ids

    def loss() -> torch.Tensor:
        noised = add_noise(scheduler, latents, torch.Generator().manual_seed(0))
        assert noised.timestep.max() > 874  # the last of eight strata
        return noised.loss(model(noised.latents, noised.timestep, ids), 5.0)

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    start = loss().item()
    for _ in range(15):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.8 * start


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (9, 1.0), (50, 1.0), (90, 0.5), (99, 0.05)])
def test_the_learning_rate_rises_stays_and_falls(step: int, expected: float) -> None:
    assert progress.learning_rate(1.0, step, 100, warmup=10, decay=0.2) == pytest.approx(expected)


def test_the_log_has_means(tmp_path: Path) -> None:
    log = progress.Log(tmp_path / "log.csv", "stage", every=2)
    for value in (1.0, 2.0, 5.0):
        log.add(int(value), 0.1, {"loss": torch.tensor(value)})
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [(row["step"], row["name"], float(row["value"])) for row in rows] == [("3", "loss", 1.5)]


def test_tags_are_the_words_of_the_captions() -> None:
    captions = [["two dogs", "a dog and a traffic light"], ["some people", "nothing"], ["a carpet", ""]]
    assert caption_tags(captions, ["dog", "traffic light", "person", "car"]).tolist() == [
        [1, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def test_the_resnet_is_exported_under_torchvisions_names(recipe: Recipe, pool: ImagePool) -> None:
    train_resnet(recipe, pool, caption_tags(pool.captions, ["dog", "car"]))
    weights = load_file(recipe.tagger.export / "model.safetensors")
    assert weights["conv1.weight"].shape == (64, 3, 7, 7) and weights["conv1.weight"].dtype == torch.float16
    assert weights["layer4.1.bn2.running_var"].shape == (512,)
    assert weights["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert not any(name.startswith("fc.") for name in weights)
    missing, unexpected = ResNet18(2).load_state_dict(weights, strict=False)
    assert missing == ["fc.weight", "fc.bias"] and not unexpected
    assert "never on labels" in (recipe.tagger.export / "README.md").read_text()


@pytest.mark.parametrize("name", ["pretrain_cpu", "pretrain_gpu"])
def test_the_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "params" / f"{name}.yaml")
    assert recipe.autoencoder.factor == 4 and recipe.phases[-1].image_size == recipe.images.size


def test_a_mistyped_recipe_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load(RECIPE.format(folder=tmp_path))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**content, "stepz": 3}))
    with pytest.raises(DatasetDMError, match="stepz"):
        load_recipe(path)
    with pytest.raises(DatasetDMError, match="missing"):
        load_recipe(tmp_path / "none.yaml")
