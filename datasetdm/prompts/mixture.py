"""The table out of lines that somebody else wrote: categories in turn, with the paper's share of plain prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.prompts.english import counted
from datasetdm.prompts.templates import COLUMNS, is_plain

PROVENANCE = ("model", "instruction", "date")  # columns of lines by a language model


@dataclass(frozen=True, kw_only=True)
class Line:
    """A prompt that was not made from a template.

    Attributes:
        text: the prompt.
        categories: names of the categories that it mentions.
        model: who wrote it, if it was a language model.
        instruction: digest of what the model was asked.
        date: of the answer, ISO.
    """

    text: str
    categories: tuple[str, ...]
    model: str = ""
    instruction: str = ""
    date: str = ""


def lines_wanted(settings: config.Prompts) -> int:
    """How many of the prompts that a source writes are not plain ones."""
    return settings.num_candidates - sum(is_plain(number, settings) for number in range(settings.num_candidates))


def mixture(
    lines: Mapping[str, Sequence[Line]], categories: Sequence[Category], settings: config.Prompts, *, kind: str
) -> pd.DataFrame:
    """The lines of all categories in turn, least named first, and among them plain prompts.

    Args:
        lines: those written for each category, by name; under another name those for none.
        categories: what plain prompts name.
        settings: how many candidates, share of plain ones.
        kind: of the lines, for the column of that name.

    Returns:
        The table as `write_prompts` of the templates returns it, with the columns of `PROVENANCE` if any line has
        them. It ends where the lines do: it may have fewer rows than `num_candidates`. Fewer prompts are the start of
        more as long as no category runs out of lines.
    """
    left = {name: list(reversed(texts)) for name, texts in sorted(lines.items())}
    nouns = {category.name: category.noun for category in categories}
    named = dict.fromkeys(sorted({*left, *nouns}), 0)
    rng = np.random.default_rng(settings.seed)
    rows = []
    for number in range(settings.num_candidates):
        if is_plain(number, settings):
            name = _least_named(named, list(nouns), rng)
            line = Line(text=f"a photo of {counted(1, nouns[name])}", categories=(name,))
        else:
            having = [name for name, texts in left.items() if texts]
            if not having:
                break
            name = _least_named(named, having, rng)
            line = left[name].pop()
        for shown in {name, *line.categories} & named.keys():
            named[shown] += 1
        own = "plain" if is_plain(number, settings) else kind
        rows.append((number, line.text, ";".join(line.categories), own, line.model, line.instruction, line.date))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *PROVENANCE])
    return frame if frame[list(PROVENANCE)].any(axis=None) else frame[list(COLUMNS)]


def _least_named(named: Mapping[str, int], names: Sequence[str], rng: np.random.Generator) -> str:
    fewest = min(named[name] for name in names)
    return str(rng.choice([name for name in names if named[name] == fewest]))
