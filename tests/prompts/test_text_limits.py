"""What a text encoder reads."""

from pathlib import Path

from transformers import AutoTokenizer

from datasetdm import config
from datasetdm.diffusion import prompt_tokenizer
from datasetdm.miniworld.captions import vocabulary
from datasetdm.prompts.text_limits import TextLimits

EMBEDDED = config.Backbone(path=str(Path(__file__).parents[2] / "data/backbones/miniworld"), image_size=128)


def test_the_embedded_text_encoder_knows_its_words_and_nothing_else() -> None:
    limits = TextLimits(tokenizer=prompt_tokenizer(EMBEDDED))
    assert limits.max_tokens == 32 and limits.max_words == 30
    assert set(limits.vocabulary) == {word for word in vocabulary() if word[0].isalnum()}
    assert limits.tokens("two red cars, a dog") == 8
    assert limits.tokens("a dog " * 100) == 202  # not cut off


def test_a_model_that_is_not_here_is_taken_for_clip() -> None:
    absent = config.Backbone(path="nobody/has-this-model", image_size=512)
    limits = TextLimits(tokenizer=prompt_tokenizer(absent))
    assert limits.max_tokens == 77 and limits.vocabulary == () and 40 <= limits.max_words <= 56
    assert limits.tokens("a photo of a dog") in range(6, 10)


def test_a_tokenizer_that_spells_any_word(tiny_model: Path) -> None:
    limits = TextLimits(tokenizer=AutoTokenizer.from_pretrained(tiny_model))
    assert limits.vocabulary == () and limits.max_tokens == 512
