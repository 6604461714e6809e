"""The lines of one category: ask, check, ask for more, until there are enough or the answers bring nothing new."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.prompts.language_model.answers import lines_of
from datasetdm.prompts.language_model.asking import Record
from datasetdm.prompts.language_model.chat import Question
from datasetdm.prompts.language_model.checks import Checks, Rejection
from datasetdm.prompts.language_model.instruction import Instruction
from datasetdm.prompts.mentions import Word
from datasetdm.prompts.mixture import Line
from datasetdm.prompts.synonyms import word_of
from datasetdm.utils.seeding import derived_seed

_PATIENCE = 4  # answers in a row without a line that is taken, after which a category stays short
_SEEDS = 2**31  # more is refused by some endpoints


@dataclass(kw_only=True)
class Harvest:
    """What was won for one category, in the order of the answers.

    Attributes:
        category: what the lines show.
        wanted: number of lines that were wanted.
        lines: the accepted ones; the last answer may bring more than were wanted.
        rejected: the others.
        records: the answers.
        complete: whether no further answer would be asked for: there are enough, or it is hopeless.
    """

    category: Category
    wanted: int
    lines: list[Line] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    complete: bool = False

    @property
    def missing(self) -> int:
        """How many lines are missing."""
        return max(self.wanted - len(self.lines), 0)

    @property
    def reasons(self) -> Counter[str]:
        """Reason -> number of rejected lines."""
        return Counter(rejection.reason for rejection in self.rejected)


def harvest(
    category: Category,
    wanted: int,
    *,
    answer: Callable[[Question], Record | None],
    instruction: Instruction,
    checks: Checks,
    settings: config.LanguageModel,
    seed: int,
) -> Harvest:
    """Ask for lines until there are enough.

    Args:
        category: what they show.
        wanted: how many are enough.
        answer: the answer to a question; None ends the harvest (a rerun that must not ask).
        instruction: what is asked.
        checks: what is taken.
        settings: portions and the limit of answers.
        seed: of the first answer; the others follow from it.
    """
    won = Harvest(category=category, wanted=wanted)
    said: list[str] = []  # in this conversation
    barren = 0
    for number in range(settings.max_answers):
        if not won.missing or barren == _PATIENCE:
            break
        if len(said) == instruction.turns:
            said = []
        record = answer(_question(word_of(category), instruction, settings, said, derived_seed(seed, number) % _SEEDS))
        if record is None:
            return won
        said.append(record.answer)
        barren = 0 if _take(won, record, instruction, checks) else barren + 1
    won.complete = True
    return won


def _question(
    word: Word, instruction: Instruction, settings: config.LanguageModel, said: list[str], seed: int
) -> Question:
    chat = settings.form == "chat"
    number = settings.lines_per_answer
    return Question(
        messages=instruction.messages(word.noun, word.synonyms, number, said, seed) if chat else (),
        completion="" if chat else instruction.completion(word.noun, seed),
        lines=number,
        words=word.forms if settings.form == "constrained" else (),
        seed=seed,
    )


def _take(won: Harvest, record: Record, instruction: Instruction, checks: Checks) -> int:
    """Add the lines of an answer; returns how many were accepted."""
    before = len(won.lines)
    won.records.append(record)
    for text in lines_of(record.answer, won.category.noun):
        if (rejection := checks.rejection(text, won.category.name)) is not None:
            won.rejected.append(rejection)
        else:
            won.lines.append(
                Line(
                    text=text,
                    categories=tuple(checks.mentioned(text)),
                    model=record.model,
                    instruction=record.instruction,
                    date=record.date,
                )
            )
    return len(won.lines) - before
