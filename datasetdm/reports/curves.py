"""How the losses of trainings went down, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd


def plot_losses(curves: Mapping[str, Sequence[Path]], file: Path) -> None:
    """A panel per kind of training, a line per seed: the column `loss` over `iteration`.

    Args:
        curves: title -> CSV files, one per seed.
        file: the PNG to write.
    """
    from matplotlib.figure import Figure  # takes a second, which commands without plots need not wait

    figure = Figure(figsize=(3.2 * len(curves), 2.8), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)
    for axes, (title, files) in zip(panels[0], curves.items(), strict=True):
        for table in files:
            losses = pd.read_csv(table)
            axes.plot(losses["iteration"], losses["loss"], linewidth=1)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("iteration")
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("training loss")
    figure.savefig(file, dpi=110, metadata={"Software": None})
