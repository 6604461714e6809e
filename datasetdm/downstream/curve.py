"""The loss curve of a training, whichever framework runs it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from datasetdm.errors import DatasetDMError
from datasetdm.utils.progress import Progress

NUM_ROWS = 50


class LossCurve:
    """Mean losses of about fifty equal parts of a training; it also reports progress and stops a divergent training.

    Args:
        iterations: of the whole training.

    Attributes:
        rows: iteration, learning rate and mean of each loss term.
    """

    def __init__(self, iterations: int):
        self.iterations = iterations
        self.every = max(1, iterations // NUM_ROWS)
        self.rows: list[dict[str, float]] = []

    def begin(self, done: int = 0, rows: Sequence[Mapping[str, float]] = ()) -> None:
        """Start, or resume after `done` iterations with the rows so far."""
        self.rows = [dict(row) for row in rows]
        self._progress = Progress(self.iterations, "iterations", done=done)

    def is_due(self, iteration: int) -> bool:
        """Whether a row ends with this iteration, counted from 1."""
        return iteration % self.every == 0 or iteration == self.iterations

    def record(self, row: Mapping[str, float]) -> None:
        """Add a row: `iteration`, `learning_rate`, the mean of each loss term since the last row, and their sum `loss`.

        Raises:
            DatasetDMError: the loss is not finite.
        """
        iteration, loss = int(row["iteration"]), row["loss"]
        if not np.isfinite(loss):
            raise DatasetDMError(
                f"The loss of the downstream model is {loss} after {iteration} iterations. "
                "Lower downstream.learning_rate."
            )
        self.rows.append(dict(row))
        self._progress.update(iteration, f"loss {loss:.3f}")

    def save(self, file: Path) -> None:
        """Write the rows as CSV (RFC 4180: lines end with CR LF)."""
        pd.DataFrame(self.rows).to_csv(file, index=False, na_rep="nan", lineterminator="\r\n")
