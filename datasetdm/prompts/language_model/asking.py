"""Ask a language model, and keep every answer: the same question is asked once, and a rerun needs no model."""

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.chat import Answer, ChatModel, Question
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, remove_leftovers, write_json
from datasetdm.utils.leases import lease


class Record(BaseModel):
    """An answer as it is kept: `<folder>/<digest of model, sampling and question>.json`.

    Attributes:
        answer: the text as it came.
        model: the name that the model gives itself.
        instruction: digest of the instruction that the question was made of.
        date: of the answer, ISO.
        prompt_tokens: tokens that the model read; 0 if unknown.
        completion_tokens: tokens that it wrote; 0 if unknown.
        seconds: that it took.
        asked: model, sampling and question.
    """

    model_config = ConfigDict(frozen=True)
    answer: str
    model: str
    instruction: str
    date: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    asked: dict[str, Any]


class Asker:
    """A language model with a memory on disk.

    Args:
        model: the language model.
        folder: the answers.
        instruction: digest of the instruction.

    Attributes:
        asked: answers that the model gave now, and not the memory.
    """

    def __init__(self, model: ChatModel, folder: Path, instruction: str):
        self.asked = 0
        self._model, self._folder, self._instruction = model, folder, instruction

    def known(self, question: Question) -> Record | None:
        """The answer that is on disk; None if the question was never asked.

        Raises:
            DatasetDMError: the file is damaged.
        """
        file = self._file(question)
        if not file.exists():
            return None
        remedy = "Remove it, and the question is asked again."
        try:
            return Record.model_validate(read_json(file, remedy=remedy))
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "its content"
            raise DatasetDMError(f"{file} is not a kept answer ({where} is wrong or missing). {remedy}") from None

    def ask(self, question: Question) -> Record:
        """The answer on disk, else the model's, which is kept before it is returned.

        Raises:
            DatasetDMError: see `ChatModel.answer`.
        """
        return self.known(question) or self._keep(question, self._model.answer(question))

    def _keep(self, question: Question, answer: Answer) -> Record:
        self.asked += 1
        record = Record(
            answer=answer.text,
            instruction=self._instruction,
            date=date.today().isoformat(),
            asked={"model": self._model.identity, "question": _plain(question)},
            **{name: getattr(answer, name) for name in ("model", "prompt_tokens", "completion_tokens", "seconds")},
        )
        file = self._file(question)
        with lease(self._folder.with_suffix(".lease")):  # another benchmark may ask the same
            remove_leftovers(file)
            write_json(file, record.model_dump(mode="json"))
        return record

    def _file(self, question: Question) -> Path:
        return self._folder / f"{digest(self._model.identity, _plain(question))}.json"


def _plain(question: Question) -> dict[str, Any]:
    """The question as JSON has it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(question).items()}
