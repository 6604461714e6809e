"""The feedback of a round: what a downstream model, trained on all images so far, is good and bad at on dev."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from datasetdm.arms import DRAWN, LABELLED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled, predictions
from datasetdm.evaluation.slices import SliceEvaluator
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.units import make_unit, resume_folder
from datasetdm.pipeline.training import dependencies, mixing, mixture, train, with_labelled
from datasetdm.prompts.needs import Measure
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.progress import say

ITERATIONS_SHARE = 4  # of the final training, where the settings give no number: one in so many
SCORES = "slices.json"
AGAIN = "Remove its folder; it is made again."


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What it takes to judge a round with one seed.

    Attributes:
        round: its round, from 1.
        seed: of the labelled images, their decoder, and the training.
        after: the shards of all rounds so far.
    """

    round: int
    seed: int
    after: tuple[Unit, ...]

    def make(self, context: Context, unit: Path) -> None:
        """Train the model of the arm `both`, without splices and for a shorter time, and judge it on every slice."""

        def work(folder: Path) -> None:
            say(f"round {self.round}, seed {self.seed}: learning what is weak on dev")
            model = folder / "model"
            train(shortened(context), self._data(context), self.seed, model, resume=resume_folder(unit))
            write_json(folder / SCORES, judge_slices(context, model))
            for name in ("metrics.json", "curves.csv"):
                (model / name).rename(folder / name)
            rmtree(model)  # it has said what it is for, and another one is trained on the whole set

        make_unit(unit, work)

    def identity(self, context: Context) -> list[object]:
        """What its result depends on, ready for `digest`."""
        few = AnnotatedSets().identity(context.paths.real, LABELLED.subset(self.seed))
        shares = mixing(context)
        return [dependencies(shortened(context)), *shares, self.seed, few, [one.folder.name for one in self.after]]

    def _data(self, context: Context) -> list[Labelled]:
        few = [(context.paths.real, LABELLED.subset(self.seed), LABELLED.stage)]
        drawn = [(shard.folder, DRAWN.subset(self.seed), DRAWN.stage) for shard in self.after]
        return mixture(with_labelled(context, few, drawn), context, AnnotatedSets())


def judge_slices(context: Context, model: Path, subset: str = "dev") -> dict[str, Any]:
    """The scores of a trained downstream model on a set: `whole`, and `slices` by name; each a value and a count."""
    task = context.task()
    predictor = DOWNSTREAM[task.name].load(model, device=context.params.device)
    evaluator = SliceEvaluator(*task.kind, task.primary_metric)
    samples = standard_format(*task.kind).load(context.paths.real, subset)
    for sample, found in predictions(predictor, task, samples):
        evaluator.add(sample.caption, sample.target, found)
    whole, slices = evaluator.compute()
    return {"whole": asdict(whole), "slices": {name: asdict(measure) for name, measure in slices.items()}}


def read_scores(unit: Path) -> tuple[Measure, Mapping[str, Measure]]:
    """What `Feedback.make` has found: the score of the whole of dev, and that of each slice."""
    content = read_json(unit / SCORES, remedy=AGAIN)
    return Measure(**content["whole"]), {name: Measure(**measure) for name, measure in content["slices"].items()}


def shortened(context: Context) -> Context:
    """The benchmark with the length of the training after a round."""
    full = context.settings.downstream.iterations
    iterations = context.settings.synthesis.feedback.iterations or max(1, full // ITERATIONS_SHARE)
    return context.with_settings("downstream", iterations=iterations)
