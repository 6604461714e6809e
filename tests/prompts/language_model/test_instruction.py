"""The instruction file: the project's own, and those of users."""

from pathlib import Path

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.instruction import load_instruction

CAPTIONS = [("okapi", "An okapi drinks from a river in the forest.")]


def test_the_own_file_asks_for_what_the_paper_asked() -> None:
    instruction = load_instruction(None, captions=CAPTIONS, max_words=50)
    system, question = instruction.messages("fire hydrant", ("hydrant",), 10, [], 0)
    assert system["role"] == "system" and question["role"] == "user"
    for part in (
        "Write 10 different",
        "fire hydrants",
        '"fire hydrant"',
        "15\nto 50 words",
        "write: hydrant.",
        CAPTIONS[0][1],
    ):
        assert part in question["content"]
    assert "{" not in question["content"] and "#" not in question["content"]
    assert instruction.turns == 3
    further = instruction.messages("fire hydrant", (), 10, ["first answer", "second"], 0)
    assert [one["role"] for one in further] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert further[2]["content"] == "first answer" and "number of objects" in further[3]["content"]
    assert "write:" not in further[1]["content"]  # no synonyms, no sentence about them
    assert instruction.completion("fire hydrant", 0).endswith(f"okapi: {CAPTIONS[0][1]}\nfire hydrant:")


def test_without_captions_it_has_examples_of_its_own_and_a_small_vocabulary_is_named() -> None:
    instruction = load_instruction(None, captions=[], max_words=30, vocabulary=["car", "two"])
    texts = {instruction.completion("dog", seed) for seed in range(5)}
    assert len(texts) > 1 and instruction.completion("dog", 0) == instruction.completion("dog", 0)
    assert "these: car, two" in instruction.messages("dog", (), 5, [], 0)[-1]["content"]


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(
        "\ufeff# note\n[question]\n{number} JSON {texts here} on {category}\n[completion]\n{examples}\n{category}:\n"
    )
    instruction = load_instruction(file, captions=CAPTIONS, max_words=50)
    assert instruction.messages("yak", (), 3, [], 0) == ({"role": "user", "content": "3 JSON {texts here} on yak"},)
    assert instruction.turns == 1
    before = instruction.digest
    file.write_text(file.read_text().replace("JSON", "plain"))
    assert load_instruction(file, captions=CAPTIONS, max_words=50).digest != before


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("[question]\n{colour} of {category}\n[questoin]\nx\n[examples]\nno colon here\n[system]\n\n")
    with pytest.raises(DatasetDMError) as error:
        load_instruction(file, captions=[], max_words=50)
    for part in (
        str(file),
        "[completion] is missing",
        "{colour}",
        "[questoin]",
        "'no colon here'",
        "[system] is empty",
    ):
        assert part in str(error.value)
    file.write_bytes(b"[question]\n\xff\xfe")
    with pytest.raises(DatasetDMError, match="not UTF-8"):
        load_instruction(file, captions=[], max_words=50)
    with pytest.raises(DatasetDMError, match=r"nowhere.*cannot be read.*prompts\.language_model\.instruction"):
        load_instruction(tmp_path / "nowhere", captions=[], max_words=50)
