"""What a reader of a report has to know of how its figures came about."""

from typing import Any

from datasetdm.arms import ARMS, P_DECODER, P_DECODER_EXPLANATION
from datasetdm.pipeline.backbone_match import mismatch
from datasetdm.pipeline.calibrated import published_calibrations
from datasetdm.pipeline.context import Context
from datasetdm.reports.promises import promise_text
from datasetdm.reports.verdict import arm_summary
from datasetdm.task_parts import METRICS
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program


def report_facts(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    """Data, models and settings: title -> text."""
    settings = context.settings
    return {
        "Data": str(settings.source.root) + (" (rendered by the embedded world)" if settings.source.miniworld else ""),
        "Diffusion model": context.params.backbone.path + _adapted(context),
        **_facts_of_mismatch(context),
        "Downstream model": f"{settings.downstream.model}, {settings.downstream.iterations} iterations per arm",
        "Images drawn": f"{metrics['num_generated']}, of which {metrics['num_synthetic']} accepted; "
        f"{metrics['num_spliced']} more spliced out of these",
        **_facts_of_labels(context, metrics),
        **_facts_of_promise(context),
        "Seeds": ", ".join(map(str, context.seeds)) + " (labelled subset and initialisation)",
        "Choices": "made on dev; the test labels are read by this comparison alone",
    }


def _adapted(context: Context) -> str:
    adapt = context.settings.adapt
    if adapt is None:
        return ""
    read = "" if adapt.reading_scale in (None, adapt.scale) else f"; labels are read at scale {adapt.reading_scale:g}"
    return f", adapted to the unlabelled images at scale {adapt.scale:g}{read}"


def explained_arms(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    """What each row of the table is: its name -> text."""
    values = {
        **metrics,
        "threshold": context.settings.experiment.self_training_threshold,
        "captions_written_here": _captions_from_labels(context),
    }
    return {arm: _explained(arm, values) for arm in metrics["arms"]}


def _explained(arm: str, values: dict[str, Any]) -> str:
    if arm == P_DECODER:
        return P_DECODER_EXPLANATION
    return ARMS[arm].explanation.format(**values) or arm_summary(arm, values)


def _facts_of_mismatch(context: Context) -> dict[str, str]:
    """Why the drawn images cannot look like the real ones, where the settings let that pass."""
    reason = mismatch(context)
    return {"The drawn images are of another kind": reason} if reason else {}


def _facts_of_labels(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    """How good the labels are, compared with what the model of `real` finds in the same images."""
    name = context.task().primary_metric
    names = {P_DECODER: "the P-Decoder, with captions", "real": "the model of `real`"}
    texts = [
        f"{METRICS[name].axis} {METRICS[name].text(figures[name])} by {names[who]}"
        for who, figures in metrics["dev"].items()
        if name in figures
    ]
    return {"Labels on dev": ", ".join(texts)} if texts else {}


def _facts_of_promise(context: Context) -> dict[str, str]:
    """What was promised of the labels, if anything was."""
    promises = published_calibrations(context.paths.synthetic)
    return {"What is promised of the labels": promise_text(promises)} if promises else {}


def _captions_from_labels(context: Context) -> int:
    remedy = f"Make it again with `{program()} ingest {context.benchmark}`."
    figures = read_json(context.paths.real / "ingest.json", remedy=remedy)
    return int(figures["oracle"]["captions_written_here"]) if "oracle" in figures else 0
