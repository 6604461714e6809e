"""Ask until there is enough, keep every answer, and say what is short."""

import json
from pathlib import Path
from typing import Any

import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model import Asker, Checks, Harvest, harvest, load_instruction
from datasetdm.prompts.language_model.chat import Answer, Question
from datasetdm.prompts.language_model.checks import NOT_MENTIONED
from datasetdm.prompts.mentioned import mentions_of

YAK = Category(id=1, name="yak")
CATEGORIES = [YAK, Category(id=2, name="gnu")]
PLACES = ["river", "barn", "harbour", "station", "desert", "garden", "museum", "glacier", "market", "tower", "quarry"]


class Scripted:
    """A model that answers what it is given, and remembers what it was asked."""

    def __init__(self, *answers: str, name: str = "scripted"):
        self.answers, self.asked = list(answers), []
        self.identity: dict[str, Any] = {"model": name}

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        if not self.answers:
            raise DatasetDMError("the connection is cut")
        text = self.answers.pop(0)
        return Answer(text=text, model="m", prompt_tokens=1, completion_tokens=2, seconds=0.5)


def run(model: Scripted, folder: Path, wanted: int, *, offline: bool = False, **changes: object) -> Harvest:
    settings = config.LanguageModel.model_validate({"lines_per_answer": 2, **changes})
    instruction = load_instruction(None, captions=[], max_words=50)
    asker = Asker(model, folder, instruction.digest)
    checks = Checks(
        mentioned=mentions_of(CATEGORIES), tokens=lambda line: 9, unknown=lambda line: (), max_tokens=77, min_words=5
    )
    answer = asker.known if offline else asker.ask
    return harvest(YAK, wanted, answer=answer, instruction=instruction, checks=checks, settings=settings, seed=3)


def yaks(first: int, count: int = 2) -> str:
    return "\n".join(
        f"One yak at the {PLACES[number]} with a gnu number {number}" for number in range(first, first + count)
    )


def test_it_asks_follow_ups_and_begins_a_new_conversation(tmp_path: Path) -> None:
    model = Scripted(*(yaks(number) for number in (0, 2, 4, 6, 8)))
    won = run(model, tmp_path, 8)
    assert len(won.lines) == 8 and not won.missing and won.complete
    assert [len(question.messages) for question in model.asked] == [2, 4, 6, 2]
    assert model.asked[1].messages[2]["content"] == yaks(0)
    assert len({question.seed for question in model.asked}) == 4
    line = won.lines[0]
    assert line.categories == ("yak", "gnu") and line.model == "m" and len(line.instruction) == 8
    assert len(line.date) == len("2026-11-29")


def test_a_rerun_asks_nothing_and_an_offline_one_gives_the_same(tmp_path: Path) -> None:
    first = run(Scripted(yaks(0), yaks(2)), tmp_path, 4)
    silent = Scripted()
    assert run(silent, tmp_path, 4).lines == run(silent, tmp_path, 4, offline=True).lines == first.lines
    assert not silent.asked
    kept = sorted(tmp_path.iterdir())
    record = json.loads(kept[0].read_text())
    assert len(kept) == 2 and record["asked"]["question"]["messages"][0]["role"] == "system"
    assert run(silent, tmp_path, 4).records == first.records
    # Fewer lines are the start of more; another model, seed or setting is another question.
    assert run(silent, tmp_path, 2).lines == first.lines[:2]
    assert not run(Scripted(name="other"), tmp_path, 4, offline=True).lines
    assert not run(silent, tmp_path, 4, offline=True, lines_per_answer=3).lines


def test_what_was_won_before_an_error_is_kept(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="cut"):
        run(Scripted(yaks(0)), tmp_path, 6)
    model = Scripted(yaks(2), yaks(4))
    assert len(run(model, tmp_path, 6).lines) == 6 and len(model.asked) == 2


def test_nonsense_ends_after_some_answers_and_is_counted(tmp_path: Path) -> None:
    model = Scripted(*[f"Word salad number {number} of some kind" for number in range(20)])
    won = run(model, tmp_path, 6)
    assert won.complete and won.missing == 6 and len(model.asked) == 4
    assert won.reasons == {NOT_MENTIONED: 4} and won.rejected[0].line.startswith("Word salad")
    limited = run(Scripted(yaks(0), yaks(0), yaks(0)), tmp_path / "other", 6, max_answers=3)
    assert len(limited.lines) == 2 and limited.reasons == {"is a duplicate": 4}


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    run(Scripted(yaks(0)), tmp_path, 2)
    (file,) = tmp_path.iterdir()
    for content, reason in (("{", "not valid JSON"), ('{"answer": 3}', "not a kept answer")):
        file.write_text(content)
        with pytest.raises(
            DatasetDMError, match=rf"{file.name} .*{reason}.*Remove it, and the question is asked again"
        ):
            run(Scripted(), tmp_path, 2)


def test_what_a_killed_process_left_of_an_answer_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    run(Scripted(yaks(0)), folder, 2)
    answers = {file.name for file in folder.iterdir()}
    for name in answers:
        (folder / name).unlink()
        (folder / f".{name}.0123abcd.tmp").write_text("{")
    run(Scripted(yaks(0)), folder, 2)
    assert {file.name for file in folder.iterdir()} == answers
