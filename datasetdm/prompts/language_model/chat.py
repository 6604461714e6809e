"""What a language model is to this project: it gets a question and gives an answer."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a language model is asked.

    Attributes:
        messages: the conversation in OpenAI's form, `{"role": ..., "content": ...}`; the last one is the user's.
        completion: a text whose continuation is one description; the forms `completion` and `constrained` use it in
            place of the messages.
        lines: number of descriptions that are wanted.
        words: what every line has to name, in all its forms ("dog", "dogs"); only the form `constrained` reads it.
        seed: the same question with the same seed has the same answer, as far as the model can do that.
    """

    messages: tuple[dict[str, str], ...]
    completion: str
    lines: int
    words: tuple[str, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a language model said.

    Attributes:
        text: as it came. A text that ran into the limit of tokens ends with `CUT`.
        model: the name that the model gives itself.
        prompt_tokens: tokens that it read, as far as it says so, else 0.
        completion_tokens: tokens that it wrote, likewise.
        seconds: how long it took.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


CUT = " …"  # after a text that is not complete


class ChatModel(Protocol):
    """A language model, here or elsewhere. It is loaded, or called, when the first question comes."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides its answers besides the question, for a digest: model, sampling. No key, no device."""

    def answer(self, question: Question) -> Answer:
        """The answer.

        Raises:
            DatasetDMError: the model cannot be loaded or reached, or refuses. It says what to do.
        """
