"""Data sets in the layouts of their makers."""

from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

from datasetdm.datasets.split import Split
from datasetdm.layouts import LAYOUTS


def open_split(layout: str, root: Path, split: Literal["train", "val"]) -> Split:
    """Open the training or validation images of a data set.

    Args:
        layout: a name in `LAYOUTS`.
        root: its folder.
        split: which images.

    Raises:
        DatasetDMError: what is missing or wrong.
    """
    opened: Split = resolve_name(LAYOUTS[layout].reader)(root, split)
    return opened
