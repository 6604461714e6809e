"""Outputs are checked before they are published."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context

if TYPE_CHECKING:
    pass


def check_accepted(context: Context, folder: Path, subsets: Iterable[str], kind: str) -> dict[str, int]:
    """Subset -> number of images, of sets that the filters of the synthetic set have let through.

    Raises:
        DatasetDMError: annotations do not load, or nothing of a set was accepted; `kind` names its images.
    """
    task = context.task()
    counts = {subset: task.check(folder, subset)["images"] for subset in subsets}
    if not all(counts.values()):
        empty = [subset for subset, count in counts.items() if count == 0]
        raise DatasetDMError(
            f"No {kind} image of {context.benchmark} was accepted for {', '.join(empty)}: lower "
            f"synthesis.score_threshold or synthesis.min_area in params.yaml, or train the decoder for longer."
        )
    return counts
