"""docs/extending.md, "A family of diffusion models": `pixart_alpha.py` here, and a line in `FAMILIES`."""

from pathlib import Path

import pytest
import torch
from diffusers import PixArtAlphaPipeline, PixArtTransformer2DModel

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.loading import FAMILIES
from datasetdm.prompts.mentions import Word
from tests.diffusion.families import tiny


def test_a_family_of_the_registry_draws_and_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sigma = tiny.pixart()
    shape = {"sample_size": 128, "num_attention_heads": 3, "cross_attention_dim": 24, "use_additional_conditions": True}
    transformer = PixArtTransformer2DModel.from_config({**sigma.transformer.config, **shape})
    parts = sigma.components | {"transformer": transformer}
    PixArtAlphaPipeline(**parts).save_pretrained(tmp_path)
    monkeypatch.setitem(FAMILIES, "PixArtAlphaPipeline", "tests.extending.pixart_alpha:PixArtAlphaBackbone.load")

    backbone = load_backbone(config.Backbone(path=str(tmp_path), image_size=tiny.SIDE), "cpu")
    drawn = backbone.generate(
        ["a red car"],
        generators=[torch.Generator().manual_seed(0)],
        num_inference_steps=2,
        guidance_scale=2.0,
        scheduler="dpmsolver++",
        words=[Word("car"), Word("dog")],
    )
    assert drawn.features is not None and drawn.features.mentioned.tolist() == [[True, False]]
    for level in backbone.feature_info:
        assert drawn.features.maps[level.stride].shape[1] == level.channels
    assert backbone.decode(drawn.latents).shape == (1, tiny.SIDE, tiny.SIDE, 3)
