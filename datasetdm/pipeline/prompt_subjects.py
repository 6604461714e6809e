"""What the prompts of a benchmark name: the categories with a labelled example."""

from pathlib import Path

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.prompts import choose_subjects
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program

MOST_SHOWN = 20  # names in one line


def subjects(context: Context) -> tuple[Category, ...]:
    """What prompts name: `prompts.subjects`, else the categories with a labelled example for some seed.

    Those of `task.unseen` need none. An edited table may name any category of the data set.

    Raises:
        DatasetDMError: no category has an example.
    """
    chosen = choose_subjects(context.task().subjects, context.settings.prompts)
    lacking = {category.name for category in without_example(context)}
    named = tuple(category for category in chosen if category.name not in lacking)
    if not named:
        raise DatasetDMError(
            f"No category of {context.paths.real} has a labelled example, so there is nothing to draw: raise "
            "`ingest.num_real` in params.yaml, or name what is to be drawn in `prompts.subjects`."
        )
    return named


def without_example(context: Context) -> tuple[Category, ...]:
    """The categories that no prompt names, as no decoder is shown one; none if the settings say what prompts name."""
    task = context.task()
    if context.settings.prompts.subjects or not task.words:
        return ()
    seen = [_examples(context, seed) for seed in context.seeds]
    asked = set() if task.vocabulary is None else {*task.vocabulary.labels} - {*task.vocabulary.seen}
    wanted = {task.categories[label].name for label in asked}.union(*seen)
    return tuple(category for category in task.subjects if category.name not in wanted)


def not_shown_to(context: Context) -> dict[int, list[str]]:
    """Seed -> the categories that prompts name as another seed has them, but that its own decoder is not shown."""
    named = [category.name for category in subjects(context)]
    task = context.task()
    known = {category.name for category in task.categories} - {*getattr(task.settings, "unseen", ())}
    return {
        seed: lacking
        for seed in context.seeds
        if task.words and (lacking := [name for name in named if name in known - _examples(context, seed)])
    }


def shortened(names: list[str]) -> str:
    """The names in a line, a long list cut off."""
    return ", ".join(names[:MOST_SHOWN]) + (f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else "")


def _examples(context: Context, seed: int) -> set[str]:
    """Names of the categories in the labelled images that the decoder of a seed learns from."""
    file = context.paths.real / "ingest.json"
    kind = "decoder" if context.settings.source.decoder else "few_shot"
    remedy = f"Make it again with `{program()} ingest {context.benchmark}`."
    counts = _counts(file, f"{kind}_{seed}", remedy)
    return {name for name, count in counts.items() if count}


def _counts(file: Path, subset: str, remedy: str) -> dict[str, int]:
    try:
        return dict(read_json(file, remedy=remedy)[subset]["objects_per_category"])
    except (KeyError, TypeError):
        raise DatasetDMError(f"{file} does not say how many objects the set '{subset}' has. {remedy}") from None
