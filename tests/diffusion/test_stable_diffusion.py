"""Loading, drawing and reading features, on a tiny pipeline of real components."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, PNDMScheduler
from safetensors.torch import load_file, save_file

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.decoder.open_vocabulary import OpenVocabularyDecoder
from datasetdm.decoder.trainer import train_decoder
from datasetdm.diffusion import Backbone, load_backbone
from datasetdm.diffusion.families.stable_diffusion import StableDiffusionBackbone
from datasetdm.diffusion.samplers import make_scheduler
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.open_vocabulary_semantic import OpenVocabularySemanticTask
from datasetdm.utils.devices import choose_device

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


def test_large_maps_are_not_read_for_self_attention(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasetdm.diffusion.attention.MOST_PLACES", 15)
    latents, own = torch.zeros(1, *backbone.latent_shape), {"timestep": 50, "words": [Word("dog")]}
    with pytest.raises(DatasetDMError, match=r"decoder\.method"):
        backbone.extract(latents, PROMPTS[:1], **own, generators=generators(1), self_attention=True)
    assert backbone.extract(latents, PROMPTS[:1], **own, generators=generators(1)).maps  # nothing is watched any more


def test_the_prompt_and_the_guidance_change_the_image(backbone: Backbone) -> None:
    first = draw(backbone, ["a red car"], (0,)).latents
    second = draw(backbone, ["two dogs on the grass"], (0,)).latents
    unguided = backbone.generate(
        ["a red car"], generators=generators(0), num_inference_steps=3, guidance_scale=1, scheduler="ddim"
    ).latents
    assert (first - second).abs().max() > 1e-4
    assert (first - unguided).abs().max() > 1e-4


def test_rescaled_guidance_has_the_spread_of_the_unguided_prediction(backbone: Backbone) -> None:
    def drawn(rescale: float) -> torch.Tensor:
        return draw(backbone, ["a red car"], (0,), guidance_rescale=rescale).latents

    assert torch.equal(drawn(0.0), draw(backbone, ["a red car"], (0,)).latents)
    latents = torch.randn(1, *backbone.latent_shape, generator=generators(0)[0])  # one step of the sampler, by hand
    sampler = make_scheduler("ddim", backbone.scheduler)
    sampler.set_timesteps(1)
    with torch.no_grad():
        conditional, unconditional = (
            backbone.unet(latents, sampler.timesteps[0], backbone._embed([text])).sample for text in ("a car", "")
        )
    guided = unconditional + 2 * (conditional - unconditional)
    rescaled = guided * conditional.std() / guided.std()
    expected = sampler.step(rescaled, sampler.timesteps[0], latents).prev_sample
    once = backbone.generate(
        ["a car"],
        generators=generators(0),
        num_inference_steps=1,
        guidance_scale=2,
        guidance_rescale=1,
        scheduler="ddim",
    )
    torch.testing.assert_close(once.latents, expected)


def test_unknown_words_are_reported(backbone: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    draw(backbone, ["a red car"], (0,))
    assert not caplog.records
    draw(backbone, ["a red okapi"], (0,))
    assert "okapi" in caplog.text and "red" not in caplog.text


def test_extract_yields_what_feature_info_says(backbone: Backbone) -> None:
    latents = torch.randn(3, *backbone.latent_shape)
    words = [Word("dog"), Word("car")]
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
    together = backbone.extract(
        latents, PROMPTS, timestep=[10, 50, 90], words=[Word("car")], generators=generators(0, 1, 2)
    )
    alone = backbone.extract(latents[2:], PROMPTS[2:], timestep=90, words=[Word("car")], generators=generators(2))
    for stride, maps in alone.maps.items():
        torch.testing.assert_close(together.maps[stride][2:], maps, rtol=1e-3, atol=1e-4)
    other = backbone.extract(latents[2:], PROMPTS[2:], timestep=500, words=[Word("car")], generators=generators(2))
    assert (other.maps[4] - alone.maps[4]).abs().max() > 1e-3


def test_attention_is_zero_for_absent_words_and_averages_to_one_over_all_tokens(backbone: Backbone) -> None:
    latents = torch.randn(2, *backbone.latent_shape)
    prompts = ["dog dog dog dog dog dog dog dog dog dog", "a car"]
    features = backbone.extract(
        latents, prompts, timestep=50, words=[Word("dog"), Word("car")], generators=generators(0, 1)
    )
    attention = features.attention[8]
    assert attention[0, 1].abs().max() == 0 and attention[1, 0].abs().max() == 0
    assert attention[0, 0].min() > 0 and attention[1, 1].min() > 0
    # Ten of twelve tokens are the word: its mean attention cannot be above 12 / 10 of the uniform one.
    assert attention[0, 0].max() <= 1.2 + 1e-4


def test_features_say_which_words_the_prompts_mention(backbone: Backbone) -> None:
    latents = torch.randn(3, *backbone.latent_shape)
    words = [*map(Word, ["dog", "traffic light", "light", "person"])]
    beyond = "a red car and " * 6 + "a dog"  # the text encoder reads twelve tokens
    prompts = ["two Dogs and people", "a traffic light", beyond]
    features = backbone.extract(latents, prompts, timestep=50, words=words, generators=generators(0, 1, 2))
    assert features.mentioned.tolist() == [[True, False, False, True], [False, True, False, False], [False] * 4]
    assert features.apply(torch.Tensor.half).select(torch.tensor([1])).mentioned.tolist() == [
        [False, True, False, False]
    ]
    assert torch.equal(features.cat([features, features]).mentioned, features.mentioned.repeat(2, 1))


def test_the_last_step_is_captured_when_words_are_given(backbone: Backbone) -> None:
    plain = draw(backbone, PROMPTS, (0, 1, 2))
    captured = draw(backbone, PROMPTS, (0, 1, 2), words=[*map(Word, ["dog", "traffic light"])])
    assert plain.features is None
    torch.testing.assert_close(plain.latents, captured.latents, rtol=1e-4, atol=1e-4)
    for level in backbone.feature_info:
        assert captured.features.maps[level.stride].shape[:2] == (3, level.channels)
    assert captured.features.attention[8][0, 0].max() > 0 and captured.features.attention[8][0, 1].max() == 0


def test_capturing_leaves_no_trace_in_the_unet(backbone: Backbone) -> None:
    draw(backbone, PROMPTS, (0, 1, 2), words=[Word("dog")])
    assert all("Capturing" not in type(processor).__name__ for processor in backbone.unet.attn_processors.values())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.unet.modules())


def test_the_last_step_of_one_is_read_too(backbone: Backbone) -> None:
    """With a single step the U-Net sees pure noise, which is then what the features are of."""
    (generator,) = generators(3)
    drawn = backbone.generate(
        ["a dog"],
        generators=[generator],
        num_inference_steps=1,
        guidance_scale=2,
        scheduler="ddim",
        words=[Word("dog")],
    )
    sampler = make_scheduler("ddim", backbone.scheduler)
    sampler.set_timesteps(1)
    noise = torch.randn(1, *backbone.latent_shape, generator=generators(3)[0])
    expected = backbone._read(noise, sampler.timesteps[0], ["a dog"], [Word("dog")])
    for stride, maps in expected.maps.items():
        torch.testing.assert_close(drawn.features.maps[stride], maps)


def test_the_layers_that_are_read_are_chosen_by_name(pipeline_folder: Path) -> None:
    whole = load_backbone(config.Backbone(path=str(pipeline_folder), image_size=32), "cpu")
    names = [*whole.reading.layers]
    assert names[0] == "mid_block.resnets.1" and names[-1] == "up_blocks.1.resnets.1"

    def reading(*layers: str) -> StableDiffusionBackbone:
        device = torch.device("cpu")
        return StableDiffusionBackbone(
            whole.pipeline, image_size=32, device=device, fingerprint="x", source=("sd", None), layers=layers
        )

    one = reading("up_blocks.0.attentions.0")
    assert [(level.stride, level.channels) for level in one.feature_info] == [(8, 16)]
    with pytest.raises(DatasetDMError, match=r"sd has no modules up_blocks\.7.*up_blocks\.1\.resnets\.1"):
        reading("up_blocks.7")


def test_weights_and_settings_change_the_fingerprint(pipeline_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    same = load_backbone(config.Backbone(path=str(pipeline_folder), image_size=32), "cpu")
    larger = load_backbone(config.Backbone(path=str(pipeline_folder), image_size=64), "cpu")
    copy = tmp_path / "copy"
    shutil.copytree(pipeline_folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = load_backbone(config.Backbone(path=str(copy), image_size=32), "cpu")
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text_encoder/model.safetensors", b"version https://git-lfs.github.com/spec/v1"),
        ("unet/diffusion_pytorch_model.safetensors", bytes(4096)),
        ("model_index.json", b'{"_class_name": "Stable'),
    ],
)
def test_damaged_weights_are_reported(pipeline_folder: Path, tmp_path: Path, name: str, content: bytes) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(pipeline_folder, copy)
    (copy / name).write_bytes(content)
    with pytest.raises(DatasetDMError, match=r"cannot be loaded|is not valid JSON"):
        load_backbone(config.Backbone(path=str(copy), image_size=32), "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_missing_device_is_reported(device: str) -> None:
    with pytest.raises(DatasetDMError, match=r"device in params\.yaml"):
        choose_device(device)


def test_noise_is_the_networks_not_the_samplers(pipeline_folder: Path, tmp_path: Path) -> None:
    """Euler's sampler scales noise in a way that the U-Net was not trained on."""
    copy = tmp_path / "euler"
    shutil.copytree(pipeline_folder, copy)
    own = PNDMScheduler.from_pretrained(copy / "scheduler")
    EulerDiscreteScheduler.from_config(own.config).save_pretrained(copy / "scheduler")
    index = json.loads((copy / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    (copy / "model_index.json").write_text(json.dumps(index))
    maps = []
    for folder in (pipeline_folder, copy):
        backbone = load_backbone(config.Backbone(path=str(folder), image_size=32), "cpu")
        latents = torch.zeros(1, *backbone.latent_shape)
        features = backbone.extract(latents, ["a dog"], timestep=200, words=[Word("dog")], generators=generators(0))
        maps.append(next(iter(features.maps.values())))
    torch.testing.assert_close(*maps)


def test_the_least_noise_is_noise_in_bfloat16_too(pipeline_folder: Path) -> None:
    settings = config.Backbone(path=str(pipeline_folder), image_size=32, dtype="bfloat16")
    backbone = load_backbone(settings, "cpu")
    latents = torch.ones(2, *backbone.latent_shape)
    features = backbone.extract(latents, ["a dog"] * 2, timestep=1, words=[Word("dog")], generators=generators(0, 1))
    first, second = next(iter(features.maps.values()))
    assert not torch.equal(first, second)  # the same picture, other noise


def test_an_image_size_that_does_not_fit_is_refused(pipeline_folder: Path) -> None:
    with pytest.raises(DatasetDMError, match="multiple of 8"):
        load_backbone(config.Backbone(path=str(pipeline_folder), image_size=36), "cpu")


def test_samplers_that_cannot_work_are_refused(zero_snr_scheduler) -> None:
    assert make_scheduler("dpmsolver++", zero_snr_scheduler).config.prediction_type == "v_prediction"
    with pytest.raises(DatasetDMError, match="dpmsolver"):
        make_scheduler("pndm", zero_snr_scheduler)
    with pytest.raises(DatasetDMError, match="unknown"):
        make_scheduler("euler", zero_snr_scheduler)


# --- class names


def test_a_name_is_the_mean_of_its_own_tokens_in_the_plain_prompt(backbone: Backbone) -> None:
    words = ["dog", "traffic light", "Car"]
    embeddings = backbone.embed_words(words)
    assert embeddings.shape == (3, backbone.text_encoder.config.hidden_size)
    assert embeddings.dtype == torch.float32 and embeddings.device.type == "cpu"
    for word, embedding in zip(words, embeddings, strict=True):
        tokens = backbone.tokenizer(f"a photo of a {word}", return_tensors="pt").input_ids
        with torch.no_grad():
            states = backbone.text_encoder(tokens)[0][0]
        own = states[5 : 5 + len(word.split())]  # after the start token and "a photo of a"
        torch.testing.assert_close(embedding, own.mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(backbone.embed_words(words[::-1]), embeddings.flip(0))
    torch.testing.assert_close(backbone.embed_words(["dog", "hot dog"])[0], embeddings[0])  # not lost in the longer one
    assert (embeddings[0] - embeddings[2]).abs().max() > 1e-3
    assert backbone.embed_words([]).shape == (0, embeddings.shape[1])


def test_names_that_cannot_be_told_apart_or_read_are_reported(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    backbone.embed_words(["dog", "zebra"])
    assert "zebra" in caplog.text and "dog" not in caplog.text
    for word in ("", " "):
        with pytest.raises(DatasetDMError, match="found by name"):
            backbone.embed_words([word])


def test_a_backbone_without_a_text_encoder_says_so(backbone: Backbone) -> None:
    with pytest.raises(DatasetDMError, match=r"no text encoder.*task\.unseen"):
        Backbone.embed_words(backbone, ["dog"])


def test_an_open_vocabulary_decoder_is_trained_and_comes_back(backbone: Backbone, tmp_path: Path) -> None:
    """Its file holds the names, so that reading it takes no backbone; and it can be asked for other names."""
    names = ("background", "dog", "car", "traffic light")
    task = OpenVocabularySemanticTask(
        [Category(id=number, name=name) for number, name in enumerate(names)],
        config.SemanticAnnotation(unseen=("traffic light",)),
    )
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            name=f"{number}.png",
            image=rng.integers(0, 256, (32, 32, 3), dtype=np.uint8),
            caption="a photo of a dog and a traffic light",
            target=task.shown(SemanticMap.of(np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(32, axis=0))),
        )
        for number in range(2)
    ]
    settings = config.Decoder(
        hidden_dim=16, num_queries=3, num_layers=1, num_heads=2, feedforward_dim=16, views_per_image=2, iterations=2,
        batch_size=2, evaluate_every=1,
    )  # fmt: skip
    metrics = train_decoder(backbone, task, samples, samples, settings, seed=0, out=tmp_path)
    assert math.isfinite(metrics["loss"]) and 0 <= metrics["miou"] <= 1
    decoder, loaded_task, _ = load_decoder(tmp_path)
    assert isinstance(decoder, OpenVocabularyDecoder) and loaded_task.vocabulary == task.vocabulary
    torch.testing.assert_close(decoder.embeddings, backbone.embed_words(names[1:]))
    images = [sample.image for sample in samples]
    prompts = [sample.caption for sample in samples]
    first, second = (
        predict_images(backbone, load_decoder(tmp_path, source)[0], task, images, prompts, settings)
        for source in (None, backbone)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.target.labels, other.target.labels)
        np.testing.assert_array_equal(one.target.confidence, other.target.confidence)

    people = OpenVocabularySemanticTask(
        [Category(id=0, name="background"), Category(id=1, name="person")],
        config.SemanticAnnotation(unseen=("person",)),
    )
    asked = decoder.with_words(people.vocabulary, backbone.embed_words(["person"]))
    (found,) = predict_images(backbone, asked, people, images[:1], ["a photo of a person"], settings)
    assert set(np.unique(found.target.labels)) <= {0, 1}

    weights = load_file(tmp_path / "model.safetensors")
    del weights["embeddings"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(DatasetDMError, match=r"does not fit.*embeddings of the class names"):
        load_decoder(tmp_path)
