"""The text encoder on its own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasetdm import config
from datasetdm.diffusion import text_readers
from datasetdm.diffusion.text_encoder import TextEncoder, fingerprint
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.text_limits import TextLimits

WORLD = config.Backbone(path=str(Path(__file__).parents[2] / "data/backbones/miniworld"), image_size=128)
PROMPTS = [
    "a photo of two red cars on a road at night",
    "a dog",
    "a dog on the grass",
    "a photo of a red car on a road",
]


def test_embeddings_have_length_one_and_depend_on_nothing_else() -> None:
    encoder = TextEncoder.load(WORLD, "cpu")
    rows = encoder.embed(PROMPTS)
    assert rows.dtype == np.float32 and rows.shape == (4, 128)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    for number, prompt in enumerate(PROMPTS):  # neither on the order nor on the length of their neighbours
        assert encoder.embed([prompt])[0] == pytest.approx(rows[number], abs=1e-5)
    similar = rows @ rows.T
    assert similar[1, 2] > similar[1, 0] and similar[0, 3] > similar[0, 1]
    assert encoder.embed([]).shape == (0, 128)


def test_embeddings_are_the_mean_over_the_words_tokens(backbone) -> None:
    encoder = TextEncoder(backbone.tokenizer, backbone.text_encoder, backbone.device)
    states = backbone._embed(["a red car"])[0, 1:4]  # after the token for the beginning, before that for the end
    mean = states.mean(0)
    assert encoder.embed(["a red car"])[0] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


def test_prompts_beyond_the_limit_are_read_as_far_as_it_goes(backbone) -> None:
    encoder = TextEncoder(backbone.tokenizer, backbone.text_encoder, backbone.device)
    long = "a dog on the grass and a red car and two people"
    row, same = encoder.embed([long, long + " and a dog"])
    assert np.array_equal(row, same)


def test_tokens_are_counted_without_weights(pipeline_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(pipeline_folder / "tokenizer", tmp_path / "tokenizer")
    shutil.copy(pipeline_folder / "model_index.json", tmp_path)
    settings = config.Backbone(path=str(tmp_path), image_size=32)
    (reader,) = text_readers(settings)
    limits, texts = (
        TextLimits(tokenizer=reader.tokenizer, length=reader.length),
        ["a dog", "a dog on the grass and a red car and two people"],
    )
    assert [limits.tokens(text) for text in texts] == [
        4,
        14,
    ] and limits.max_tokens == 12  # with those for begin and end
    assert [limits.fits(text) for text in texts] == [True, False]
    assert 0 < limits.vocabulary_used(texts) < 1
    assert limits.vocabulary_used([]) == 0
    assert text_readers(settings.model_copy(update={"path": str(tmp_path / "none")})) == []


def test_models_without_such_an_encoder_and_damaged_ones_are_reported(pipeline_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(pipeline_folder, folder)
    settings = config.Backbone(path=str(folder), image_size=32)
    first = fingerprint(settings, folder)
    (folder / "text_encoder" / "model.safetensors").write_bytes(b"broken")
    assert fingerprint(settings, folder) != first
    with pytest.raises(DatasetDMError, match=r"The text encoder in .* cannot be loaded"):
        TextEncoder.load(settings, "cpu")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder": [None, None]}))
    with pytest.raises(DatasetDMError, match=r"has no text encoder of transformers.*prompts\.selection"):
        TextEncoder.load(settings, "cpu")
