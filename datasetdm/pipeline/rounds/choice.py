"""The choice after a round: which slices need images most, and which prompts the next round draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.rounds.feedback import AGAIN, Feedback, read_scores
from datasetdm.prompts.needs import Measure, Need, assess_needs, choose_rows, place_prompts, slice_shares, weigh_prompts
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.progress import say

ROUND = "round.json"
NUM_SAID = 5


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What it takes to choose the prompts of the next round.

    Attributes:
        round: the round that it looks at, from 1.
        after: the feedback on it, one unit per seed; drawn images are shared by the seeds.
        prompts: the table that is chosen from.
        images: those of the next round, by position in the synthetic set; none after the last round, which is only
            judged.
    """

    round: int
    after: tuple[Unit, ...]
    prompts: pd.DataFrame
    images: range

    def make(self, context: Context, unit: Path) -> None:
        """Weigh the signs of need, and choose."""

        def work(folder: Path) -> None:
            found = self._round(context)
            shown = [name for name, slice_ in found["slices"].items() if slice_["value"] is not None]
            say(f"round {self.round}: most needed are {'; '.join(shown[:NUM_SAID])}")
            write_json(folder / ROUND, found)

        make_unit(unit, work)

    def identity(self, context: Context) -> list[object]:
        """What its result depends on, ready for `digest`."""
        settings = context.settings.synthesis
        rows = self.prompts.to_dict("records")
        feedback = settings.feedback.model_dump(exclude={"iterations"})  # the names of the units before tell these
        return [[one.folder.name for one in self.after], rows, feedback, settings.seed, self.round, len(self.images)]

    def rows(self, unit: Path, images: range) -> list[int]:
        """The rows of the table of prompts (positions) that the finished unit has chosen for some of `images`."""
        first = self.images.start
        chosen = _next_prompts(unit)[images.start - first : images.stop - first]
        return pd.Index(self.prompts["id"]).get_indexer(pd.Index(chosen)).tolist()

    def _round(self, context: Context) -> dict[str, Any]:
        """See docs/rounds.md."""
        settings, task = context.settings.synthesis, context.task()
        first: Feedback = self.after[0].payload
        manifest = pd.concat([pd.read_parquet(shard.folder / "manifest.parquet") for shard in first.after])
        scores = [read_scores(unit.folder) for unit in self.after]
        needs = assess_needs(scores, manifest, settings.feedback, higher_is_better=task.higher_is_better)
        placed = place_prompts(self.prompts, manifest)
        rows: list[int] = []
        if self.images:
            weights = weigh_prompts(placed, needs, settings.feedback)
            seed = int(np.random.SeedSequence([settings.seed, self.round]).generate_state(1)[0])
            rows = choose_rows(weights, placed, len(self.images), seed=seed)
        before = slice_shares(placed, range(len(self.prompts)))
        after = slice_shares(placed, rows)
        return {
            "round": self.round,
            "images": int(manifest["image"].nunique()),
            "accepted_fraction": float(manifest["accepted"].mean()),
            "metric": task.primary_metric,
            "score": _over_seeds([whole for whole, _ in scores]),
            "slices": {
                name: {
                    **_over_seeds([slices[name] for _, slices in scores if name in slices]),
                    **asdict(need),
                    "share_of_prompts": before.get(name, 0.0),
                    "share_of_next": after.get(name, 0.0) if rows else None,
                }
                for name, need in _by_need(needs)
            },
            "next": [int(self.prompts["id"].iloc[row]) for row in rows],
        }


def read_rounds(folder: Path) -> list[dict[str, Any]]:
    """What a synthetic set says of its rounds, in order; nothing if all of it was drawn at once."""
    files = sorted((folder / "rounds").glob("*.json"), key=lambda file: int(file.stem))
    return [read_json(file, remedy="Run `synthesize` again.") for file in files]


@lru_cache(maxsize=8)  # every shard of the next round asks; the name of a unit stands for its content
def _next_prompts(unit: Path) -> list[int]:
    ids: list[int] = read_json(unit / ROUND, remedy=AGAIN)["next"]
    return ids


def _over_seeds(measures: Sequence[Measure]) -> dict[str, Any]:
    """The mean over seeds, and the number of dev images or objects; no value for what dev does not show."""
    values = [measure.value for measure in measures if math.isfinite(measure.value)]
    return {"value": fmean(values) if values else None, "count": measures[0].count if measures else 0}


def _by_need(needs: Mapping[str, Need]) -> list[tuple[str, Need]]:
    return sorted(needs.items(), key=lambda item: (-item[1].need, item[0]))
