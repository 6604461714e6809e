"""Loading, drawing and reading features, on a tiny pipeline of real components."""

import shutil
from pathlib import Path

import pytest
import torch

from datasetdm import config
from datasetdm.diffusion import Backbone, load_backbone
from datasetdm.diffusion.stable_diffusion import make_scheduler
from datasetdm.errors import DatasetDMError

PROMPTS = ["two dogs on the grass", "a traffic light", "a red car"]


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw(backbone: Backbone, prompts: list[str], seeds: tuple[int, ...], scheduler: str = "ddim", **kwargs):
    return backbone.generate(
        prompts, generators=generators(*seeds), num_inference_steps=3, guidance_scale=2.0, scheduler=scheduler, **kwargs
    )


def test_images_are_encoded_and_decoded_at_the_factor_of_the_autoencoder(backbone: Backbone) -> None:
    latents = backbone.encode(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert backbone.latent_shape == (4, 8, 8)
    assert latents.shape == (2, 4, 8, 8)
    images = backbone.decode(latents)
    assert images.shape == (2, 32, 32, 3) and images.dtype == torch.uint8


def test_latents_are_in_the_scaling_of_the_unet(backbone: Backbone) -> None:
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    mode = backbone.vae.encode(images).latent_dist.mode()
    torch.testing.assert_close(backbone.encode(images), mode * backbone.vae.config.scaling_factor)


@pytest.mark.parametrize("scheduler", ["dpmsolver++", "ddim", "pndm", "model"])
def test_an_image_depends_on_its_own_prompt_and_generator_alone(backbone: Backbone, scheduler: str) -> None:
    together = draw(backbone, PROMPTS, (0, 1, 2), scheduler).latents
    alone = draw(backbone, PROMPTS[1:2], (1,), scheduler).latents
    other_seed = draw(backbone, PROMPTS[1:2], (7,), scheduler).latents
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)
    assert (alone - other_seed).abs().max() > 0.1


def test_the_prompt_and_the_guidance_change_the_image(backbone: Backbone) -> None:
    first = draw(backbone, ["a red car"], (0,)).latents
    second = draw(backbone, ["two dogs on the grass"], (0,)).latents
    unguided = backbone.generate(
        ["a red car"], generators=generators(0), num_inference_steps=3, guidance_scale=1, scheduler="ddim"
    ).latents
    assert (first - second).abs().max() > 1e-4
    assert (first - unguided).abs().max() > 1e-4


def test_unknown_words_are_reported(backbone: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    draw(backbone, ["a red car"], (0,))
    assert not caplog.records
    draw(backbone, ["a red okapi"], (0,))
    assert "okapi" in caplog.text and "red" not in caplog.text


def test_extract_yields_what_feature_info_says(backbone: Backbone) -> None:
    latents = torch.randn(3, *backbone.latent_shape)
    words = ["dog", "car"]
    features = backbone.extract(latents, PROMPTS, timestep=50, words=words, generators=generators(0, 1, 2))
    assert [level.stride for level in backbone.feature_info] == [8, 4]
    for level in backbone.feature_info:
        side = 32 // level.stride
        assert features.maps[level.stride].shape == (3, level.channels, side, side)
        if level.attention_layers:
            assert features.attention[level.stride].shape == (3, 2, level.attention_layers, side, side)
        else:
            assert level.stride not in features.attention


def test_features_of_an_image_do_not_depend_on_its_neighbours(backbone: Backbone) -> None:
    latents = torch.randn(3, *backbone.latent_shape)
    together = backbone.extract(latents, PROMPTS, timestep=[10, 50, 90], words=["car"], generators=generators(0, 1, 2))
    alone = backbone.extract(latents[2:], PROMPTS[2:], timestep=90, words=["car"], generators=generators(2))
    for stride, maps in alone.maps.items():
        torch.testing.assert_close(together.maps[stride][2:], maps, rtol=1e-3, atol=1e-4)
    other = backbone.extract(latents[2:], PROMPTS[2:], timestep=500, words=["car"], generators=generators(2))
    assert (other.maps[4] - alone.maps[4]).abs().max() > 1e-3


def test_attention_is_zero_for_absent_words_and_averages_to_one_over_all_tokens(backbone: Backbone) -> None:
    latents = torch.randn(2, *backbone.latent_shape)
    prompts = ["dog dog dog dog dog dog dog dog dog dog", "a car"]
    features = backbone.extract(latents, prompts, timestep=50, words=["dog", "car"], generators=generators(0, 1))
    attention = features.attention[8]
    assert attention[0, 1].abs().max() == 0 and attention[1, 0].abs().max() == 0
    assert attention[0, 0].min() > 0 and attention[1, 1].min() > 0
    # Ten of twelve tokens are the word: its mean attention cannot be above 12 / 10 of the uniform one.
    assert attention[0, 0].max() <= 1.2 + 1e-4


def test_the_last_step_is_captured_when_words_are_given(backbone: Backbone) -> None:
    plain = draw(backbone, PROMPTS, (0, 1, 2))
    captured = draw(backbone, PROMPTS, (0, 1, 2), words=["dog", "traffic light"])
    assert plain.features is None
    torch.testing.assert_close(plain.latents, captured.latents, rtol=1e-4, atol=1e-4)
    for level in backbone.feature_info:
        assert captured.features.maps[level.stride].shape[:2] == (3, level.channels)
    assert captured.features.attention[8][0, 0].max() > 0 and captured.features.attention[8][0, 1].max() == 0


def test_capturing_leaves_no_trace_in_the_unet(backbone: Backbone) -> None:
    draw(backbone, PROMPTS, (0, 1, 2), words=["dog"])
    assert all("Capturing" not in type(processor).__name__ for processor in backbone.unet.attn_processors.values())
    assert not any(module._forward_hooks for module in backbone.unet.modules())


def test_weights_and_settings_change_the_fingerprint(pipeline_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    same = load_backbone(config.Backbone(path=str(pipeline_folder), image_size=32, device="cpu"))
    larger = load_backbone(config.Backbone(path=str(pipeline_folder), image_size=64, device="cpu"))
    copy = tmp_path / "copy"
    shutil.copytree(pipeline_folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = load_backbone(config.Backbone(path=str(copy), image_size=32, device="cpu"))
    assert same.fingerprint == backbone.fingerprint
    assert len({backbone.fingerprint, larger.fingerprint, changed.fingerprint}) == 3


def test_missing_weights_say_what_to_do(pipeline_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"missing.*backbone\.path in params\.yaml"):
        load_backbone(config.Backbone(path=str(tmp_path / "nowhere"), image_size=32))
    with pytest.raises(DatasetDMError, match="no diffusers pipeline"):
        load_backbone(config.Backbone(path=str(tmp_path), image_size=32))
    copy = tmp_path / "broken"
    shutil.copytree(pipeline_folder, copy)
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(DatasetDMError, match="cannot be loaded"):
        load_backbone(config.Backbone(path=str(copy), image_size=32))


def test_an_image_size_that_does_not_fit_is_refused(pipeline_folder: Path) -> None:
    with pytest.raises(DatasetDMError, match="multiple of 8"):
        load_backbone(config.Backbone(path=str(pipeline_folder), image_size=36, device="cpu"))


def test_samplers_that_cannot_work_are_refused(zero_snr_scheduler) -> None:
    assert make_scheduler("dpmsolver++", zero_snr_scheduler).config.prediction_type == "v_prediction"
    with pytest.raises(DatasetDMError, match="dpmsolver"):
        make_scheduler("pndm", zero_snr_scheduler)
    with pytest.raises(DatasetDMError, match="unknown"):
        make_scheduler("euler", zero_snr_scheduler)
