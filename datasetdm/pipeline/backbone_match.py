"""Whether the diffusion model can draw images like those of the benchmark."""

from datasetdm.diffusion import draws_miniworld, words_unknown_to
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.prompt_subjects import shortened, subjects


def mismatch(context: Context) -> str | None:
    """Why the diffusion model cannot draw images like those of the benchmark; None if nothing is known against it."""
    if context.world == "miniworld":
        return None
    backbone = context.params.backbone
    if draws_miniworld(backbone):
        return f"{backbone.path} draws the embedded world and nothing else, and the data are not of that world"
    if words := words_unknown_to(backbone, [category.noun for category in subjects(context)]):
        return f"{backbone.path} does not know these words of what it is asked to draw: {shortened(words)}"
    return None


def check_match(context: Context) -> None:
    """Refuse a diffusion model that cannot draw what the prompts name, unless the settings allow it.

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
