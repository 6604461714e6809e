"""Where the prompts of a benchmark come from, by `prompts.source`."""

from collections.abc import Callable

import pandas as pd

from datasetdm.pipeline.context import Context
from datasetdm.pipeline.prompt_coverage import template_prompts
from datasetdm.pipeline.prompt_subjects import subjects, without_example
from datasetdm.pipeline.prompt_writer import open_writer
from datasetdm.prompts import choose_subjects
from datasetdm.prompts.files import load_prompt_files
from datasetdm.prompts.mentioned import mentions_of
from datasetdm.prompts.mixture import mixture
from datasetdm.utils.progress import say


def candidates(context: Context) -> pd.DataFrame:
    """The prompts that the source of the settings has for the benchmark.

    Returns:
        `num_candidates` rows, or fewer if the source has no more; columns as `datasetdm.prompts.write_prompts` returns
        them, and for lines of a language model `model`, `instruction` and `date`.

    Raises:
        DatasetDMError: bad input, or a language model that cannot be reached or answers with nonsense only.
    """
    return _SOURCES[context.settings.prompts.source](context)


def _from_templates(context: Context) -> pd.DataFrame:
    return template_prompts(context, subjects(context))


def _from_language_model(context: Context) -> pd.DataFrame:
    return open_writer(context).write()


def _from_files(context: Context) -> pd.DataFrame:
    settings = context.settings.prompts
    assert settings.files is not None  # the settings were checked
    known = choose_subjects(context.task().subjects, settings)
    left_out = [category.name for category in without_example(context)]
    found = load_prompt_files(settings.files, known, mentions_of(known), left_out)
    for sentence in found.remarks:
        say(f"{sentence}.")
    table = mixture(found.lines, subjects(context), settings, kind="file")
    if len(table) < settings.num_candidates:
        say(
            f"{len(table)} prompts instead of {settings.num_candidates}: {settings.files} has no more. They are used "
            "in turn, each time with another seed."
        )
    return table


_SOURCES: dict[str, Callable[[Context], pd.DataFrame]] = {
    "templates": _from_templates,
    "language_model": _from_language_model,
    "files": _from_files,
}
