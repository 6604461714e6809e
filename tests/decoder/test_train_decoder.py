import json
import logging
import math
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from datasetdm.decoder import trainer
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.decoder.inference import DecoderModel, read_features
from datasetdm.decoder.trainer import evaluate, train_decoder
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.errors import DatasetDMError


@pytest.mark.slow
def test_learns_its_own_images(backbone, task, samples, settings, tmp_path):
    longer = settings.model_copy(update={"iterations": 300, "evaluate_every": 150, "category_from_prompt": True})
    metrics = train_decoder(backbone, task, samples, samples, longer, seed=0, out=tmp_path)
    assert metrics["mask_ap"] > 0.5
    assert metrics["mask_ap_empty_prompt"] > 0.4  # not read off the text, and no class ruled out by it
    decoder, _, read_back = load_decoder(tmp_path, backbone)
    assert evaluate(backbone, decoder, task, samples, read_back)["mask_ap"] == pytest.approx(metrics["mask_ap"])


def test_leaves_files_that_load_back(backbone, task, samples, settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="datasetdm")
    metrics = train_decoder(backbone, task, samples[:4], samples[4:], settings, seed=0, out=tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"model.safetensors", "config.json", "metrics.json", "curves.csv"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert {"mask_ap", "mask_ap_generic_prompt", "mask_ap_empty_prompt", "loss"} <= set(metrics)
    assert all(math.isfinite(value) for value in metrics.values())
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves["iteration"].tolist() == [4, 8]
    assert curves["dev_mask_ap"].notna().all()
    assert any("iteration 8 of 8" in line for line in caplog.messages)

    decoder, loaded_task, loaded_settings = load_decoder(tmp_path)
    assert loaded_settings == settings
    assert loaded_task.categories == task.categories
    assert not decoder.training


def test_registered_model_annotates_images_of_any_size(backbone, task, samples, settings, tmp_path):
    train_decoder(backbone, task, samples, [], settings, seed=0, out=tmp_path)
    model = DecoderModel.load(tmp_path, backbone)
    images = [samples[0].image, np.zeros((48, 100, 3), dtype=np.uint8)]
    first, second = model.predict(images)
    assert first.masks.shape[1:] == (64, 64)
    assert second.masks.shape[1:] == (48, 100)
    again = model.predict(np.stack([samples[0].image] * 2))
    np.testing.assert_array_equal(again[0].masks, first.masks)


@pytest.mark.parametrize("views", [4, None])
def test_resumed_training_ends_where_an_uninterrupted_one_does(
    backbone, task, samples, settings, tmp_path, views, monkeypatch, caplog
):
    settings = settings.model_copy(update={"views_per_image": views})
    train_decoder(backbone, task, samples, samples, settings, seed=1, out=tmp_path / "whole")

    def interrupt(text: str) -> None:
        if "iteration 8" in text:
            raise KeyboardInterrupt

    arguments = (backbone, task, samples, samples, settings)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "say", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_decoder(*arguments, seed=1, out=tmp_path / "b", resume=tmp_path / "state")
    assert not (tmp_path / "b").exists()
    caplog.set_level(logging.INFO, logger="datasetdm")
    caplog.clear()  # another test may have set the level before
    train_decoder(*arguments, seed=1, out=tmp_path / "b", resume=tmp_path / "state")
    assert caplog.messages[0] == "continues at iteration 4"
    for name in ("model.safetensors", "metrics.json", "curves.csv", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert decoder_fingerprint(tmp_path / "whole") == decoder_fingerprint(tmp_path / "b")


def test_a_damaged_checkpoint_is_not_used(backbone, task, samples, settings, tmp_path):
    for name in ("whole", "again"):
        state = tmp_path / "state"
        train_decoder(backbone, task, samples, [], settings, seed=0, out=tmp_path / name, resume=state)
        os.truncate(state / "checkpoint.pt", 1000)
    assert decoder_fingerprint(tmp_path / "whole") == decoder_fingerprint(tmp_path / "again")


def test_a_checkpoint_of_other_settings_is_not_used(backbone, task, samples, settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="datasetdm")

    def train(seed, **changes):
        changed = settings.model_copy(update=changes)
        caplog.clear()
        train_decoder(backbone, task, samples, [], changed, seed=seed, out=tmp_path, resume=tmp_path / "r")
        return " ".join(caplog.messages)

    train(0)
    assert "continues at iteration 8" in train(0)
    assert "other settings" in train(1)
    assert "other settings" in train(1, learning_rate=1e-4)


def test_seeds_differ_and_the_global_generator_is_left_alone(backbone, task, samples, settings, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    for seed in (0, 1):
        train_decoder(backbone, task, samples, [], settings, seed=seed, out=tmp_path / str(seed))
    assert torch.equal(torch.rand(3), expected)
    assert decoder_fingerprint(tmp_path / "0") != decoder_fingerprint(tmp_path / "1")


def test_best_weights_by_dev_are_kept(backbone, task, samples, settings, tmp_path):
    train_decoder(backbone, task, samples, samples, settings, seed=0, out=tmp_path)
    curve = pd.read_csv(tmp_path / "curves.csv")["dev_mask_ap"]
    assert json.loads((tmp_path / "metrics.json").read_text())["mask_ap"] == pytest.approx(curve.max())


class Broken(Backbone):
    """Hands on another backbone's features with a hole in them."""

    def __init__(self, whole: Backbone) -> None:
        self.whole = whole
        for name in ("image_size", "latent_shape", "feature_info", "fingerprint", "device"):
            setattr(self, name, getattr(whole, name))

    def encode(self, images):
        return self.whole.encode(images)

    def decode(self, latents):
        return self.whole.decode(latents)

    def generate(self, prompts, **arguments):
        return self.whole.generate(prompts, **arguments)

    def extract(self, latents, prompts, **arguments):
        features = self.whole.extract(latents, prompts, **arguments)
        maps = {stride: values * float("nan") for stride, values in features.maps.items()}
        return replace(features, maps=maps)


def test_features_that_are_no_numbers_are_a_clear_error(backbone, task, samples, settings, tmp_path):
    with pytest.raises(DatasetDMError, match="learning_rate"):
        train_decoder(Broken(backbone), task, samples, [], settings, seed=0, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_categories_follow_the_prompt_when_asked_to(backbone, task, samples, settings, tmp_path):
    bound = settings.model_copy(update={"category_from_prompt": True})
    train_decoder(backbone, task, samples, [], bound, seed=0, out=tmp_path)
    model = DecoderModel(backbone, *load_decoder(tmp_path, backbone))
    assert all(len(target) == 0 for target in model.predict([sample.image for sample in samples]))


def test_a_model_without_prompts_rules_nothing_out(backbone, task, samples, settings, tmp_path):
    images = [sample.image for sample in samples]
    found = []
    for bound in (False, True):
        own = settings.model_copy(update={"category_from_prompt": bound})
        train_decoder(backbone, task, samples, [], own, seed=0, out=tmp_path / str(bound))
        found.append(DecoderModel.load(tmp_path / str(bound), backbone).predict(images))
    assert [len(target) for target in found[0]] == [len(target) for target in found[1]] != [0] * len(images)


def test_an_ensemble_reads_steadier(backbone, task, samples, settings):
    latents = encode_images(backbone, [samples[0].image])

    def read(draws: int, seed: int) -> torch.Tensor:
        several = settings.model_copy(update={"ensemble_size": draws, "timestep": 400})
        generators = [torch.Generator().manual_seed(seed)]
        arguments = {"words": task.words, "settings": several, "generators": generators}
        return read_features(backbone, latents, ["a box"], **arguments)[0].maps[2]

    assert torch.equal(read(3, 0), read(3, 0))
    assert (read(16, 0) - read(16, 1)).square().mean() < (read(1, 0) - read(1, 1)).square().mean() / 4


def test_damaged_or_foreign_decoders_are_clear_errors(backbone, task, samples, settings, tmp_path):
    train_decoder(backbone, task, samples, [], settings, seed=0, out=tmp_path)
    foreign = Broken(backbone)
    foreign.fingerprint = "another"
    with pytest.raises(DatasetDMError, match="another diffusion backbone"):
        load_decoder(tmp_path, foreign)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DatasetDMError, match=r"model\.safetensors"):
        load_decoder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DatasetDMError, match="missing"):
        load_decoder(tmp_path)
    with pytest.raises(DatasetDMError, match="missing"):
        load_decoder(tmp_path / "nowhere")
