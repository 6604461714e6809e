"""What a text encoder reads."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from datasetdm import config
from datasetdm.diffusion import text_readers
from datasetdm.miniworld.captions import vocabulary
from datasetdm.prompts.text_limits import TextLimits
from tests.diffusion.families import tiny

EMBEDDED = config.Backbone(path=str(Path(__file__).parents[2] / "data/backbones/miniworld"), image_size=128)


def test_the_embedded_text_encoder_knows_its_words_and_nothing_else() -> None:
    limits = TextLimits(tokenizer=text_readers(EMBEDDED)[0].tokenizer)
    assert limits.max_tokens == 32 and limits.max_words == 30
    assert set(limits.vocabulary) == {word for word in vocabulary() if word[0].isalnum()}
    assert limits.tokens("two red cars, a dog") == 8
    assert limits.tokens("a dog " * 100) == 202  # not cut off


def test_a_model_that_is_not_here_is_taken_for_clip() -> None:
    absent = config.Backbone(path="nobody/has-this-model", image_size=512)
    assert text_readers(absent) == text_readers(absent.model_copy(update={"path": "no name: of the hub"})) == []
    limits = TextLimits(tokenizer=None)
    assert limits.max_tokens == 77 and limits.vocabulary == () and 40 <= limits.max_words <= 56
    assert limits.tokens("a photo of a dog") in range(6, 10)


def test_a_tokenizer_that_spells_any_word(tiny_model: Path) -> None:
    limits = TextLimits(tokenizer=AutoTokenizer.from_pretrained(tiny_model))
    assert limits.vocabulary == () and limits.max_tokens == 512


@pytest.mark.parametrize(
    ("family", "options", "expected"),
    [
        ("sdxl", {}, {"tokenizer": 12, "tokenizer_2": 12}),
        ("sd3", {}, {"tokenizer_3": 256, "tokenizer": 12, "tokenizer_2": 12}),
        ("sd3", {"with_t5": False}, {"tokenizer": 12, "tokenizer_2": 12}),
        ("flux", {}, {"tokenizer_2": 512, "tokenizer": 12}),
        ("flux", {"guidance_embeds": False}, {"tokenizer_2": 256, "tokenizer": 12}),
        ("pixart", {}, {"tokenizer": 300}),
    ],
)
def test_the_limit_is_that_of_the_family(
    family: str, options: dict[str, bool], expected: dict[str, int], tmp_path: Path
) -> None:
    settings = config.Backbone(path=str(tiny.save(family, tmp_path, **options)), image_size=tiny.SIDE)
    limits = {one.name: TextLimits(tokenizer=one.tokenizer, length=one.length) for one in text_readers(settings)}
    assert {name: limit.max_tokens for name, limit in limits.items()} == expected
    assert [*limits] == [*expected]  # the one that matters most comes first
    first = next(iter(limits.values()))
    backbone = tiny.CLASSES[family].load(tmp_path, settings, "cpu")
    seen = [part for part in backbone.prompt_tokens() if part.tokenizer is not None]
    assert max(part.length for part in seen) == first.max_tokens  # what the network is given
    words = "dog " * (first.max_tokens - 3)
    assert first.fits(words) and not first.fits(words * 2)
