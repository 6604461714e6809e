"""A look at the prompts before they are all written: some of them, what was rejected, coverage, expected cost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from math import ceil
from statistics import mean

from datasetdm.pipeline.context import Context
from datasetdm.pipeline.prompt_sources import candidates
from datasetdm.pipeline.prompt_subjects import shortened, subjects
from datasetdm.pipeline.prompt_writer import PromptWriter, open_writer
from datasetdm.prompts.language_model import Harvest, Question, Rejection
from datasetdm.prompts.language_model.asking import Record
from datasetdm.prompts.mixture import Line
from datasetdm.utils.progress import duration

_EXAMPLES = 3  # rejected lines shown for each reason
_CHARACTERS_PER_TOKEN = 4  # English; for endpoints that do not count


def preview(context: Context, number: int) -> str:
    """Text for a person: `number` prompts, rejected lines with reasons, coverage so far, what is still to be asked.

    A language model is asked no more than this takes. Its answers are kept, and count when the table is written.

    Raises:
        DatasetDMError: see `candidates`.
    """
    if context.settings.prompts.source == "language_model":
        return "\n\n".join(_of_language_model(context, open_writer(context), number)) + "\n"
    table = candidates(context)
    shown = [f"  {row.prompt}" for row in table.head(number).itertuples()]
    named = [names.split(";") for names in table["categories"]]
    parts = ["\n".join(["Prompts:", *shown]), _coverage(context, named), "No language model is asked."]
    return "\n\n".join(parts) + "\n"


def _of_language_model(context: Context, writer: PromptWriter, number: int) -> Iterator[str]:
    done = _asked_for(writer, number)
    lines = list(_in_turn(done))
    yield "\n".join(["Prompts:", *(f"  {line.text}" for line in lines[:number])] if lines else ["No line is accepted."])
    yield f"{len(lines)} lines accepted so far; {writer.asker.asked} questions asked now, the other answers were kept."
    yield _rejections([rejection for won in done for rejection in won.rejected])
    yield _coverage(context, [line.categories for line in lines])
    yield _cost(done, writer)


def _asked_for(writer: PromptWriter, number: int) -> list[Harvest]:
    """What is won so far; single questions are asked until there are `number` lines, the least covered category first.

    Each round goes through the kept answers again, which takes no time, so that every question is one that writing the
    table asks.
    """
    done = list(writer.harvests(writer.asker.known))
    while sum(len(won.lines) for won in done) < number:
        answers = {won.category.name: len(won.records) for won in done}
        order = sorted(writer.categories, key=lambda category: answers[category.name])
        asked = writer.asker.asked
        done = list(writer.harvests(_one_question(writer), order))
        if writer.asker.asked == asked:  # nothing is left to ask
            break
    return done


def _one_question(writer: PromptWriter) -> Callable[[Question], Record | None]:
    """The kept answers, and one more."""
    before = writer.asker.asked

    def answer(question: Question) -> Record | None:
        return writer.asker.ask(question) if writer.asker.asked == before else writer.asker.known(question)

    return answer


def _in_turn(done: Sequence[Harvest]) -> Iterator[Line]:
    """The first line of each category, then the second of each."""
    for lines in zip_longest(*(won.lines for won in done)):
        yield from filter(None, lines)


def _rejections(rejected: Sequence[Rejection]) -> str:
    """Counts and examples by reason."""
    text = [f"{len(rejected)} lines rejected" + (":" if rejected else ".")]
    for reason in sorted({rejection.reason for rejection in rejected}):
        those = [rejection for rejection in rejected if rejection.reason == reason]
        text.append(f"  {len(those)} {reason}:")
        for rejection in those[:_EXAMPLES]:
            text.append(f"    {rejection.line[:100]}" + (f"  [{rejection.detail}]" if rejection.detail else ""))
    return "\n".join(text)


def _coverage(context: Context, named: Iterable[Sequence[str]]) -> str:
    """Prompts per category; the categories with the fewest."""
    counts = dict.fromkeys((category.name for category in subjects(context)), 0)
    for names in named:
        for name in counts.keys() & set(names):
            counts[name] += 1
    least = sorted(counts, key=lambda name: (counts[name], name))
    fewest = shortened([f"{name} ({counts[name]})" for name in least])
    return f"Prompts per category: {min(counts.values())} to {max(counts.values())}. Fewest: {fewest}."


def _cost(done: Sequence[Harvest], writer: PromptWriter) -> str:
    """What is still to be asked, judged by the answers so far."""
    records = [record for won in done for record in won.records]
    lines = sum(len(won.lines) for won in done)
    missing = sum(won.missing for won in done if not won.complete)
    if not missing:
        return "Nothing is left to ask: writing the table takes seconds."
    if not lines:
        return f"{missing} lines are missing; what that takes cannot be said before one is accepted."
    most = sum(writer.model.max_answers - len(won.records) for won in done if not won.complete)
    questions = min(ceil(missing * len(records) / lines), most)
    tokens = questions * mean(map(_tokens, records))
    cost = f"{missing} lines are missing: about {questions} questions, {tokens:,.0f} tokens (read and written)"
    seconds = questions * mean(record.seconds for record in records)
    return f"{cost}, {duration(seconds)} at {seconds / questions:.1f} s an answer."


def _tokens(record: Record) -> int:
    """Tokens read and written, counted by the model or estimated."""
    if record.completion_tokens:
        return record.prompt_tokens + record.completion_tokens
    asked = record.asked["question"]
    read = sum(len(message["content"]) for message in asked["messages"]) + len(asked["completion"])
    return ceil((read + len(record.answer)) / _CHARACTERS_PER_TOKEN)
