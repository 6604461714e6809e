"""A look at the first synthetic images, drawn and labelled, before the long run: minutes instead of hours.

The requests, the decoders and the filter are those of `synthesize`, so these are the images that it will draw first;
nothing is written into its units or its set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.prompt_coverage import select_prompts
from datasetdm.pipeline.prompt_sources import candidates
from datasetdm.pipeline.report_figures import drawn_figure
from datasetdm.pipeline.rounds.shard import annotator_of, draw_ahead
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.reports.figures import write_figures
from datasetdm.reports.overlays import overlay
from datasetdm.reports.page import render_preview, viewer_of
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import AnnotatedImage, Annotator, make_requests, synthesize
from datasetdm.synthesis.manifest import manifest_rows, sample_of
from datasetdm.task_parts import TASKS, scores_of
from datasetdm.utils.files import remove_leftovers, replacing, write_image, write_text

SHEET, PAGE = "sheet.png", "index.html"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What was drawn.

    Attributes:
        folder: with `sheet.png`, `index.html` and `manifest.parquet`.
        text: for a person: how many images are accepted, why others are not, and their scores.
    """

    folder: Path
    text: str


def make_preview(context: Context, number: int) -> Preview:
    """Draw and label the first images of the synthetic set, with the P-Decoder of the first seed.

    The prompts are those of the published table. If there is none yet, they are written for this preview alone.

    Args:
        context: the benchmark.
        number: of images.

    Raises:
        DatasetDMError: no decoder is trained yet; see `candidates` on prompts.
    """
    context.task()  # if the real images are missing, that is the first thing to say
    annotator = annotator_of(context, context.seeds[0])
    drawn = _draw(context, annotator, number)
    drawer, settings = context.drawing_backbone(), context.settings.synthesis
    rows = [row for image in drawn for row in manifest_rows(image, [annotator], drawer, settings)]
    manifest = pd.DataFrame(rows)
    remove_leftovers(context.paths.preview)
    with replacing(context.paths.preview) as folder:
        _write(context, folder, [sample_of(image, annotator.name) for image in drawn], rows, _summary(manifest))
        manifest.to_parquet(folder / "manifest.parquet", index=False)
    text = [_summary(manifest), *_reasons(manifest), "", *_score_table(manifest, context.settings.task.name), ""]
    return Preview(folder=context.paths.preview, text="\n".join(text))


def _draw(context: Context, annotator: Annotator, number: int) -> list[AnnotatedImage]:
    settings = context.settings.synthesis
    requests = make_requests(_prompts(context), number, settings.seed)
    latents = draw_ahead(context, requests)
    return list(synthesize(context.backbone(), context.task(), [annotator], requests, settings, latents))


def _write(
    context: Context, folder: Path, samples: Sequence[Sample], rows: Sequence[dict[str, Any]], summary: str
) -> None:
    """The images, the contact sheet and the page."""
    task = context.task()
    for sample in samples:
        write_image(folder / "images" / sample.name, sample.image)
    pictures = [overlay(sample.target, sample.image, task.categories) for sample in samples]
    write_image(folder / SHEET, contact_sheet(pictures, [_caption(row, task.name) for row in rows]))
    figures = (
        drawn_figure(sample, row, task, f"images/{sample.name}") for sample, row in zip(samples, rows, strict=True)
    )
    found = write_figures(folder / "figures", "preview", figures, title="First images", root="")
    viewer = viewer_of(task.name, task.categories, [found], "figures")
    write_text(folder / PAGE, render_preview(context.benchmark, summary, viewer))


def _prompts(context: Context) -> pd.DataFrame:
    table = context.paths.prompts
    if table.exists():
        return load_prompts(table, choose_subjects(context.task().subjects, context.settings.prompts))
    return select_prompts(context, candidates(context))


def _summary(manifest: pd.DataFrame) -> str:
    accepted = int(manifest["accepted"].sum())
    return f"{accepted} of {len(manifest)} images are accepted ({100 * accepted / len(manifest):.0f} %)."


def _reasons(manifest: pd.DataFrame) -> list[str]:
    counts = manifest["rejected"].dropna().value_counts()
    return [f"  {count} rejected: {reason}" for reason, count in counts.items()]


def _score_table(manifest: pd.DataFrame, task: str) -> Sequence[str]:
    """Smallest, median and largest of each score, over all images and over those that are accepted."""
    lines = [f"{'score':<16}{'lowest':>10}{'median':>10}{'highest':>10}{'median of accepted':>22}"]
    for name, score in scores_of(task).items():
        if name in manifest:
            values, accepted = manifest[name], manifest.loc[manifest["accepted"], name]
            last = f"{accepted.median():.3g}" if len(accepted) else "-"
            figures = "".join(f"{value:>10.3g}" for value in (values.min(), values.median(), values.max()))
            lines.append(f"{score.title:<16}{figures}{last:>22}")
    return lines


def _caption(row: dict[str, Any], task: str) -> str:
    """The line below a picture: the first score of the task or, if it is rejected, the reason alone, which is long."""
    if not row["accepted"]:
        return f"rejected: {row['rejected']}"
    scores = [name for name in TASKS[task].scores if name in row and np.isfinite(row[name])]
    return f"{TASKS[task].scores[scores[0]].title} {row[scores[0]]:.2f}, accepted" if scores else "accepted"
