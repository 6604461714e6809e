"""What the prompts of a benchmark name: categories with a labelled example, in words that the diffusion model knows."""

from pathlib import Path

from datasetdm.annotations.sample import Category
from datasetdm.diffusion import draws_miniworld, words_unknown_to
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.prompts import choose_subjects
from datasetdm.utils.files import read_json

MOST_SHOWN = 20  # names in one line


def subjects(context: Context) -> tuple[Category, ...]:
    """What prompts name: `prompts.subjects`, else the categories with a labelled example for some seed.

    Those of `task.unseen` are asked for without one. An edited table may name any category of the data set.

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
    """The categories that no prompt names, as no decoder is shown one; none where the settings say what is named."""
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


def mismatch(context: Context) -> str | None:
    """Why the diffusion model cannot draw images such as the benchmark's own; None where nothing says so."""
    if context.world == "miniworld":
        return None
    backbone = context.params.backbone
    if draws_miniworld(backbone):
        return f"{backbone.path} draws the embedded world and nothing else, and the data are not of that world"
    if words := words_unknown_to(backbone, [category.noun for category in subjects(context)]):
        return f"{backbone.path} does not know these words of what it is asked to draw: {shortened(words)}"
    return None


def check_match(context: Context) -> None:
    """Refuse a diffusion model that cannot draw what it is asked to, unless the settings allow it.

    Raises:
        DatasetDMError: it says why.
    """
    if context.params.backbone.allow_mismatch:
        return
    if reason := mismatch(context):
        of_one_world = draws_miniworld(context.params.backbone)
        words = "" if of_one_world else " or name what it knows in `prompts.subjects` or `source.names`"
        raise DatasetDMError(
            f"The diffusion model {reason}. Set backbone.path in params.yaml to a model that was trained on images "
            f"like yours (for photographs such as CompVis/stable-diffusion-v1-4){words}. To try the workflow only, set "
            "`backbone.allow_mismatch: true`."
        )


def shortened(names: list[str]) -> str:
    """The names in a line, a long list cut off."""
    return ", ".join(names[:MOST_SHOWN]) + (f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else "")


def _examples(context: Context, seed: int) -> set[str]:
    """Names of the categories in the labelled images that the decoder of a seed learns from."""
    file = context.paths.real / "ingest.json"
    kind = "decoder" if context.settings.source.decoder else "few_shot"
    remedy = f"Make it again with `python -m datasetdm ingest {context.benchmark}`."
    counts = _counts(file, f"{kind}_{seed}", remedy)
    return {name for name, count in counts.items() if count}


def _counts(file: Path, subset: str, remedy: str) -> dict[str, int]:
    try:
        return dict(read_json(file, remedy=remedy)[subset]["objects_per_category"])
    except (KeyError, TypeError):
        raise DatasetDMError(f"{file} does not say how many objects the set '{subset}' has. {remedy}") from None
