"""A language model of transformers on this machine: tiny, with random weights."""

from pathlib import Path

import pytest
import torch

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.chat import Question
from datasetdm.prompts.language_model.local import LocalModel


def local(model: Path | str, **changes: object) -> LocalModel:
    return LocalModel(config.LanguageModel.model_validate({"model": str(model), "max_tokens": 24, **changes}), "cpu")


def question(seed: int = 0) -> Question:
    return Question(
        messages=({"role": "user", "content": "Describe okapis."},),
        completion="okapi:",
        lines=4,
        words=("fire hydrant", "fire hydrants"),
        seed=seed,
    )


def test_the_same_question_has_the_same_answer_and_leaves_the_random_numbers_alone(tiny_model: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = local(tiny_model).answer(question())
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    again = local(tiny_model)
    assert again.answer(question()).text == first.text
    assert again.answer(question(1)).text != first.text
    assert first.prompt_tokens > 0 and 0 < first.completion_tokens <= 24
    assert first.text.endswith(" …")  # noise seldom ends


@pytest.mark.parametrize("form", ["completion", "constrained"])
def test_lines_are_single_and_many(tiny_model: Path, form: str) -> None:
    answer = local(tiny_model, form=form, max_tokens=60).answer(question())
    assert len(answer.text.split("\n")) == 4


def test_constraints_make_every_line_name_the_words_even_in_noise(tiny_model: Path) -> None:
    lines = local(tiny_model, form="constrained", max_tokens=60).answer(question()).text.split("\n")
    assert len(lines) == 4 and all("fire hydrant" in line for line in lines)
    assert not any(
        "fire hydrant" in line for line in local(tiny_model, form="completion").answer(question()).text.split("\n")
    )


def test_the_identity_is_the_content_and_not_the_place(tiny_model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / tiny_model.name
    moved.parent.mkdir()
    moved.mkdir()
    for file in tiny_model.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert local(moved).identity == local(tiny_model).identity
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert local(moved).identity != local(tiny_model).identity
    assert local(tiny_model, form="completion").identity != local(tiny_model).identity
    assert local("org/model").identity["model"] == "org/model"


def test_what_cannot_be_loaded(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no weights")
    for name in (str(tmp_path / "model.gguf"), str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(DatasetDMError, match=r"prompts\.language_model\.model\) cannot be loaded"):
            local(name).answer(question())


def test_a_model_without_a_chat_template(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix != ".jinja":
            (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DatasetDMError, match=r"no chat model.*completion"):
        local(folder).answer(question())
    assert local(folder, form="completion").answer(question()).text
