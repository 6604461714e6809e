"""Stage `write_prompts`: what the diffusion model is asked to draw, a table that a person may edit."""

import time
from pathlib import Path

import pandas as pd

from datasetdm.pipeline.backbone_match import check_match
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.experiment_log import log_result, logged_run
from datasetdm.pipeline.prompt_coverage import measure_variety, select_prompts
from datasetdm.pipeline.prompt_sources import candidates
from datasetdm.pipeline.prompt_subjects import not_shown_to, shortened, subjects, without_example
from datasetdm.pipeline.stages import ingest
from datasetdm.prompts import choose_subjects, encode_prompts, load_prompts
from datasetdm.utils.files import remove_leftovers, write_bytes
from datasetdm.utils.progress import say

CODE_VERSION = "1"


def finish(context: Context, plan: Plan) -> StageResult:
    """Write the prompts of the benchmark's categories; a table that a person has edited is kept as it is.

    Categories without a labelled example are left out, and listed.
    """
    began = time.time()
    check_match(context)
    table = context.paths.prompts
    latest = context.paths.work("write_prompts") / table.name  # as the stage wrote it the last time
    for file in (table, latest, context.paths.variety):
        remove_leftovers(file)
    new = encode_prompts(select_prompts(context, candidates(context)))
    if _content(table) in (None, _content(latest), new):
        for file in (latest, table):
            if _content(file) != new:
                write_bytes(file, new)
    else:
        say(f"{table} was edited and is kept; remove it to have the prompts written again.")
    frame = load_prompts(table, choose_subjects(context.task().subjects, context.settings.prompts))
    left_out = _left_out(context, frame)
    for reason, names in left_out.items():
        say(f"{reason}: {shortened(names)}.")
    tables = {reason: ", ".join(names) for reason, names in left_out.items()}
    result = StageResult(
        metrics={**measure_variety(context, frame), "categories_left_out": float(len(without_example(context)))},
        tables={"First prompts": frame.head(10).to_markdown(index=False), **tables},
    )
    inputs = {f"real_{context.benchmark}": context.paths.real}
    with logged_run(context, STAGE, inputs=inputs, output=table, times=(began, time.time())) as run:
        return log_result(run, result)


def _left_out(context: Context, table: pd.DataFrame) -> dict[str, list[str]]:
    """What a person should know of the choice of categories: reason -> names."""
    named = set(";".join(table["categories"]).split(";"))
    found = {
        "No prompt names these": [one.name for one in subjects(context) if one.name not in named],
        "Not named in prompts, as no labelled image shows them": [one.name for one in without_example(context)],
        **{
            f"Not labelled by the decoder of seed {seed}, whose labelled images do not show them": names
            for seed, names in not_shown_to(context).items()
        },
    }
    return {reason: names for reason, names in found.items() if names}


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _check_prompts(context: Context, file: Path) -> dict[str, int]:
    if not file.exists():
        raise missing(context, file, "write_prompts")
    return {"prompts": len(load_prompts(file, choose_subjects(context.task().subjects, context.settings.prompts)))}


STAGE: Stage[Context] = Stage(
    name="write_prompts",
    asset="prompts",
    description="Prompts over the categories, balanced per class, in a table that a person may edit.",
    upstream=(ingest.STAGE,),
    parameters=("task", "seeds", "prompts"),
    shared_parameters=("backbone",),
    code_version=CODE_VERSION,
    finish=finish,
    output=lambda context: context.paths.prompts,
    checks=(
        Check(
            name="prompts_valid",
            description="Every prompt has text and names known categories only.",
            run=_check_prompts,
        ),
    ),
)
