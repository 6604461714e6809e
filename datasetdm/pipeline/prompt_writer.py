"""The language model of a benchmark at work: what it is asked for, in which words, and what comes of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import pandas as pd

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.datasets.standard.unlabelled import load_unlabelled
from datasetdm.diffusion.words import unknown_words
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.paths import ANSWERS
from datasetdm.pipeline.prompt_subjects import shortened, subjects
from datasetdm.pipeline.text_limits import text_limits
from datasetdm.prompts import choose_subjects
from datasetdm.prompts.language_model import (
    Asker,
    Checks,
    Harvest,
    Instruction,
    Question,
    harvest,
    load_instruction,
    open_model,
)
from datasetdm.prompts.language_model.asking import Record
from datasetdm.prompts.mentioned import mentions_of
from datasetdm.prompts.mixture import lines_wanted, mixture
from datasetdm.prompts.text_limits import TextLimits
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program
from datasetdm.utils.progress import Progress, say

_TRIALS = 3  # categories without a single line, after which the model is given up


@dataclass(frozen=True, kw_only=True)
class PromptWriter:
    """All that it takes to have a language model write the prompts of a benchmark.

    Attributes:
        categories: what prompts name, sorted by name, so that the order of a data set does not matter.
        known: what a line may name besides.
        settings: of the prompts.
        instruction: what is asked.
        asker: the language model and its memory.
        limits: of the text encoder.
    """

    categories: tuple[Category, ...]
    known: tuple[Category, ...]
    settings: config.Prompts
    instruction: Instruction
    asker: Asker
    limits: TextLimits

    @property
    def model(self) -> config.LanguageModel:
        """The settings of the language model."""
        assert self.settings.language_model is not None  # the settings were checked
        return self.settings.language_model

    @property
    def wanted(self) -> int:
        """Lines per category."""
        return ceil(lines_wanted(self.settings) / len(self.categories))

    def write(self) -> pd.DataFrame:
        """Ask for what is missing; the table of prompts.

        Raises:
            DatasetDMError: the model cannot be asked, or none of its lines can be used.
        """
        done: list[Harvest] = []
        progress = Progress(len(self.categories), "categories")
        for won in self.harvests(self.asker.ask):
            done.append(won)
            progress.update(len(done), f"{sum(len(one.lines) for one in done)} prompts")
            if len(done) in (_TRIALS, len(self.categories)) and not any(one.lines for one in done):
                raise self._nothing(done)
        for sentence in summary(done, self.asker.asked):
            say(sentence)
        return self.table(done)

    def harvests(
        self, answer: Callable[[Question], Record | None], order: Sequence[Category] | None = None
    ) -> Iterator[Harvest]:
        """What is won for each category with these answers, one after the other."""
        checks = self._checks()

        def won(category: Category) -> Harvest:
            return harvest(
                category,
                self.wanted,
                answer=answer,
                instruction=self.instruction,
                checks=checks,
                settings=self.model,
                seed=self.settings.seed,
            )

        return map(won, self.categories if order is None else order)

    def table(self, done: Sequence[Harvest]) -> pd.DataFrame:
        """The table of prompts out of what was won."""
        lines = {won.category.name: won.lines[: won.wanted] for won in done}
        return mixture(lines, self.categories, self.settings, kind="language_model")

    def _checks(self) -> Checks:
        tokenizer = self.limits.tokenizer
        return Checks(
            mentioned=mentions_of(self.known),
            tokens=self.limits.tokens,
            unknown=lambda line: [] if tokenizer is None else unknown_words(tokenizer, [line]),
            max_tokens=self.limits.max_tokens,
            min_words=self.model.min_words,
            examples=[caption for _, caption in self.instruction.examples],
        )

    def _nothing(self, done: Sequence[Harvest]) -> DatasetDMError:
        rejected = [rejection for won in done for rejection in won.rejected]
        asked = f"The language model {self.model.model} wrote no usable prompt for {shortened(_names(done))}"
        if not rejected:
            return DatasetDMError(f"{asked}: its answers are empty. Choose another in prompts.language_model.model.")
        reasons = _counted(Counter(rejection.reason for rejection in rejected))
        return DatasetDMError(
            f"{asked}. Of {len(rejected)} lines: {reasons}. Such as: '{rejected[0].line[:120]}'. Choose a larger "
            "model, set prompts.language_model.form to constrained (with backend transformers), or change the "
            f"instruction; `{program()} prompts preview` shows more."
        )


def open_writer(context: Context) -> PromptWriter:
    """The writer of a benchmark with `prompts.source: language_model`; nothing is asked yet.

    Raises:
        DatasetDMError: an instruction file that cannot be used, or nothing to write about.
    """
    settings = context.settings.prompts
    assert settings.language_model is not None  # the settings were checked
    limits = text_limits(context)
    categories = tuple(sorted(subjects(context), key=lambda category: category.name))
    known = choose_subjects(context.task().subjects, settings)
    instruction = load_instruction(
        settings.language_model.instruction,
        captions=_captions(context, known, settings.language_model.min_words),
        max_words=limits.max_words,
        vocabulary=limits.vocabulary,
    )
    model = open_model(settings.language_model, context.params.device)
    return PromptWriter(
        categories=categories,
        known=known,
        settings=settings,
        instruction=instruction,
        asker=Asker(model, ANSWERS, instruction.digest),
        limits=limits,
    )


def summary(done: Sequence[Harvest], asked: int) -> list[str]:
    """What a person should know of the lines that were won, in sentences."""
    lines, rejected = sum(len(won.lines) for won in done), Counter[str]()
    for won in done:
        rejected.update(won.reasons)
    kept = sum(len(won.records) for won in done) - asked
    sentences = [f"{asked} answers of the language model, and {kept} kept ones: {lines} lines are accepted."]
    if rejected:
        sentences.append(f"{rejected.total()} lines are rejected: {_counted(rejected)}.")
    if short := [won for won in done if won.missing]:
        names = [f"{won.category.name} ({len(won.lines)} of {won.wanted})" for won in short]
        sentences.append(
            f"Short of prompts: {shortened(names)}. Raise prompts.language_model.max_answers, or choose a larger model."
        )
    return sentences


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def _names(done: Sequence[Harvest]) -> list[str]:
    return [won.category.name for won in done]


def _captions(context: Context, known: Sequence[Category], min_words: int) -> list[tuple[str, str]]:
    """Pairs of a noun and a caption that names it, of the few labelled images; those without a caption of their own
    have one that ingestion wrote ("a photo of a dog, a car"), which teaches nothing.
    """
    nouns, mentioned = {category.name: category.noun for category in known}, mentions_of(known)
    figures = read_json(context.paths.real / "ingest.json", remedy="Run the stage ingest again.")
    pairs: dict[str, str] = {}  # caption -> noun
    for seed in context.seeds:
        subset = f"few_shot_{seed}"
        written_here = bool(figures.get(subset, {}).get("captions_written_here"))
        for image in load_unlabelled(context.paths.real, subset):
            caption = " ".join(image.caption.split())
            plain = written_here and caption.startswith("a photo")
            if not plain and len(caption.split()) >= min_words and (names := mentioned(caption)):
                pairs[caption] = nouns[names[0]]
    return [(noun, caption) for caption, noun in pairs.items()]
