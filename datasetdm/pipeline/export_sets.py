"""The sets that `datasetdm export` knows. The command line reads this list, and does not wait for slow imports."""

from typing import Literal

from datasetdm.arms import DRAWN, DRAWN_SPLICED, LABELLED, Source

#: What can be exported: where it lies, and the split that it becomes.
SETS: dict[str, tuple[Source, Literal["train", "val", "test"]]] = {
    "synthetic": (DRAWN, "train"),
    "real": (LABELLED, "train"),
    "augmented": (DRAWN_SPLICED, "train"),
    "dev": (Source(output="real", name="dev"), "val"),
    "test": (Source(output="real", name="test"), "test"),
}
#: Short for several.
TOGETHER = {"both": ("real", "synthetic")}
