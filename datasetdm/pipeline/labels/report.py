"""`datasetdm labels`: the labels that a model doubts most, as a page, a table, and a run in the experiment log.

It is no stage of the chain: nothing is built on it. The page lies in `data/labels/<benchmark>/`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from datasetdm.arms import Source
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.evaluation.label_quality import Doubt
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.experiment_log import log_result, logged_run
from datasetdm.pipeline.labels.doubts import Judge, choose_judge, doubts
from datasetdm.pipeline.report_figures import annotated_figure
from datasetdm.pipeline.reviewed.store import REVIEWABLE
from datasetdm.pipeline.stages import ingest, synthesize, train_downstream
from datasetdm.reports.figures import Figure, FigureSet, write_figures
from datasetdm.reports.overlays import overlay
from datasetdm.reports.page import render_labels, viewer_of
from datasetdm.reports.pictures import contact_sheet
from datasetdm.utils.files import write_image, write_text

#: The sets whose labels are judged, what a reader knows them as, and whether every benchmark has them.
TITLES = {
    "synthetic": "Synthetic images",
    "real": "Real labelled images",
    "dev": "Real images that choices are made with (dev)",
}
SETS: Mapping[str, Source] = {**REVIEWABLE, "dev": Source(output="real", name="dev")}
SHOWN = 200  # images of each set on the page
IN_TABLE = 20  # of all sets
_ON_SHEET = 12
SHEET, TABLE = "worst.png", "labels.csv"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A set with what a model says of its labels, the most doubtful first."""

    name: str
    judge: Judge
    doubts: Mapping[str, Doubt]

    @property
    def worst(self) -> list[tuple[str, Doubt]]:
        """Names and doubts in order."""
        return sorted(self.doubts.items(), key=lambda item: (item[1].score, item[0]))


def finish(context: Context, plan: Plan) -> StageResult:
    """Judge the labels of the first seed, and write the page."""
    seed = context.seeds[0]
    judged = []
    for name, source in SETS.items():
        judge = choose_judge(context, source, seed)
        judged.append(Judged(name=name, judge=judge, doubts=doubts(context, source, seed, judge)))
    table = _table(judged)
    with publish_checked(STAGE, context) as folder:
        write_text(folder / TABLE, table.to_csv(index=False))
        sets = [_write_figures(context, part, seed, folder) for part in judged]
        viewer = viewer_of(context.settings.task.name, context.task().categories, sets, "figures")
        viewer["scores"] = {"quality": {"title": "label quality", "explanation": "from 0, most likely wrong, to 1"}}
        judges = {TITLES[part.name]: f"judged by {part.judge}" for part in judged}
        write_text(folder / "index.html", render_labels(context.benchmark, judges, viewer))
        _draw_sheet(context, judged[0], seed, folder / SHEET)
    result = StageResult(
        metrics={f"{part.name}/mean_quality": _mean(part.doubts) for part in judged},
        tables={"The most doubtful labels": table.head(IN_TABLE).to_markdown(index=False)},
        pictures=[str(context.paths.labels / SHEET)],
    )
    paths, name = context.paths, context.benchmark
    inputs = {f"real_{name}": paths.real, f"synthetic_{name}": paths.synthetic}
    with logged_run(context, STAGE, inputs=inputs, output=paths.labels) as run:
        run.log_table(table, "labels.json")
        return log_result(run, result)


def _mean(found: Mapping[str, Doubt]) -> float:
    return sum(doubt.score for doubt in found.values()) / max(1, len(found))


def _table(judged: Sequence[Judged]) -> pd.DataFrame:
    """All images of all sets, the most doubtful first."""
    rows = [
        {"image": image, "set": part.name, "quality": round(doubt.score, 4), "reason": doubt.reason}
        for part in judged
        for image, doubt in part.worst
    ]
    table = pd.DataFrame(rows, columns=["image", "set", "quality", "reason"])
    return table.sort_values(["quality", "set", "image"], kind="stable", ignore_index=True)


def _write_figures(context: Context, part: Judged, seed: int, folder: Path) -> FigureSet:
    source = SETS[part.name]
    root = getattr(context.paths, source.output)
    where = os.path.relpath(root, context.paths.labels).replace(os.sep, "/") + "/"
    return write_figures(
        folder / "figures", part.name, _figures(context, part, seed), title=TITLES[part.name], root=where
    )


def _figures(context: Context, part: Judged, seed: int) -> Iterator[Figure]:
    """The worst images, each with its score and the reason."""
    source, task = SETS[part.name], context.task()
    samples = standard_format(*task.kind).load(getattr(context.paths, source.output), source.subset(seed))
    position = {name: number for number, name in enumerate(part.doubts)}
    for name, doubt in part.worst[:SHOWN]:
        figure = annotated_figure(samples[position[name]], task, {"what the model sees": doubt.reason})
        yield replace(figure, scores={"quality": doubt.score})


def _draw_sheet(context: Context, part: Judged, seed: int, file: Path) -> None:
    """The worst images on a contact sheet, for those who do not open the page."""
    source, task = SETS[part.name], context.task()
    samples = standard_format(*task.kind).load(getattr(context.paths, source.output), source.subset(seed))
    position = {name: number for number, name in enumerate(part.doubts)}
    worst = part.worst[:_ON_SHEET]
    chosen = [samples[position[name]] for name, _ in worst]
    pictures = [overlay(sample.target, sample.image, task.categories) for sample in chosen]
    if pictures:
        write_image(file, contact_sheet(pictures, [f"{doubt.score:.2f}" for _, doubt in worst]))


STAGE: Stage[Context] = Stage(
    name="labels",
    asset="label_quality",
    description="The labels that a model doubts most, of synthetic and real images: table and page.",
    upstream=(ingest.STAGE, synthesize.STAGE, train_downstream.STAGE),
    parameters=("task", "seeds"),
    code_version="1",
    finish=finish,
    output=lambda context: context.paths.labels,
)
