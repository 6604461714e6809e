"""The cards of a release: README.md of the data set and of each model."""

from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

from datasetdm.decoder.checkpoint import CONFIG_FILE, RETRAIN
from datasetdm.decoder_methods import METHODS
from datasetdm.pipeline.publication.annotations import Annotations
from datasetdm.pipeline.publication.facts import (
    MOST_NAMES,
    facts_of_champion,
    facts_of_decoder,
    facts_of_images,
    limits,
    limits_of_model,
)
from datasetdm.pipeline.publication.licences import UNKNOWN, hub_fields
from datasetdm.pipeline.publication.models import TrainedModel
from datasetdm.pipeline.publication.release import Release
from datasetdm.pipeline.report_facts import explained_arms
from datasetdm.reports.cards import comparison_values, render_card, size_category
from datasetdm.reports.verdict import arm_summary
from datasetdm.task_parts import METRICS, TASKS, scores_of
from datasetdm.utils.files import read_json

FOLDER = "path/to/this/folder"
TAGS = ["datasetdm", "synthetic"]
_USAGE = """from datasetdm import load_model, read_image

model = load_model("{folder}")
(found,) = model.predict([read_image("photo.jpg")])"""
_NEEDS_BACKBONE = (
    "It works on the features of the diffusion model `{model}` (fingerprint `{fingerprint}`): run it in a project "
    "folder whose `params.yaml` names this model."
)


def dataset_card(release: Release, annotations: Annotations) -> str:
    """The README.md of the data set."""
    task, count = release.context.settings.task.name, len(release.accepted)
    data = DatasetCardData(
        pretty_name=release.title,
        language=["en"],
        task_categories=[TASKS[task].hub_task],
        annotations_creators=["machine-generated"],
        size_categories=[size_category(count)],
        tags=TAGS,
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "train/**"}]}],
        **hub_fields(release.licences.data),
    )
    return render_card(
        "dataset_card.md",
        data,
        **_shared(release),
        **comparison_values(release.metrics, _arms(release)),
        title=release.title,
        count=count,
        task=task,
        place=release.hub or FOLDER,
        columns=_columns(release, annotations),
        categories=_categories(release),
        more_categories=max(0, len(release.context.task().categories) - MOST_NAMES),
        facts=facts_of_images(release),
        limits=limits(release),
        example=release.row["image"],
    )


def decoder_card(release: Release) -> str:
    """The README.md of the P-Decoder."""
    model, row = release.decoder, release.row
    title = f"{METHODS[release.context.settings.decoder.method].title} of {release.title}"
    read = read_json(model.folder / CONFIG_FILE, remedy=RETRAIN)["backbone_fingerprint"]
    needs = _NEEDS_BACKBONE.format(model=row["model_path"], fingerprint=read)
    return _model_card(
        release,
        model,
        title,
        summary=f"It reads labels for {release.context.settings.task.name} off a frozen text-to-image model. {needs}",
        facts=facts_of_decoder(release) | {"SHA-256 of the weights": f"`{model.sha256}`"},
        place=release.repository("p_decoder"),
    )


def champion_card(release: Release, model: TrainedModel) -> str:
    """The README.md of the downstream model."""
    settings, arm = release.context.settings, model.training.arm
    summary = arm_summary(arm, release.metrics) if release.metrics else ""
    return _model_card(
        release,
        model,
        f"{settings.downstream.model} of {release.title}",
        summary=f"An ordinary model for {settings.task.name}, trained with synthetic images or without them, whichever "
        "was best on dev.",
        facts=facts_of_champion(release, model, summary),
        place=release.repository("downstream"),
    )


def _model_card(
    release: Release, model: TrainedModel, title: str, *, summary: str, facts: dict[str, str], place: str
) -> str:
    task = TASKS[release.context.settings.task.name]
    data = ModelCardData(
        model_name=title,
        library_name="datasetdm",
        pipeline_tag=task.hub_task,
        tags=TAGS,
        datasets=[release.hub] if release.hub else None,
        metrics=[name for name in task.metrics if name in model.dev] or None,
        eval_results=list(_results(release, model)) or None,
        **hub_fields(release.licences.data),
    )
    return render_card(
        "model_card.md",
        data,
        **_shared(release),
        **comparison_values(release.metrics, _arms(release), own_figures=_figures(release, model)),
        title=title,
        summary=summary,
        usage=_USAGE.format(folder=FOLDER) if release.hub is None else _usage_on_hub(place),
        facts=facts,
        limits=limits_of_model(release),
    )


def _usage_on_hub(repository: str) -> str:
    """The same with a download first."""
    first, rest = _USAGE.split("\n", 1)
    fetched = rest.replace('"{folder}"', f'snapshot_download("{repository}")')
    return f"{first}\nfrom huggingface_hub import snapshot_download\n{fetched}"


def _shared(release: Release) -> dict[str, Any]:
    """What all cards say."""
    licences, context = release.licences, release.context
    return {
        "benchmark": context.benchmark,
        "flag": " --study" if context.study else "",
        "software": release.software,
        "commit": release.commit,
        "licences": licences,
        "unknown": UNKNOWN in {licences.data.name, licences.generator.name, licences.real.name},
        "seeds": ", ".join(map(str, context.seeds)),
        "synthesis_seed": context.settings.synthesis.seed,
    }


def _arms(release: Release) -> dict[str, str]:
    return explained_arms(release.context, dict(release.metrics)) if release.metrics else {}


def _columns(release: Release, annotations: Annotations) -> dict[str, str]:
    scores = scores_of(release.context.settings.task.name)
    return {
        "image": f"the image, {release.row['image_size']} pixels a side",
        "image_name": "its file, as the manifest has it",
        annotations.column: annotations.meaning,
        "prompt": "what the diffusion model was asked for",
        "prompt_categories": "the categories that the prompt names",
        "prompt_id, prompt_kind": "row and kind of the prompt in the table of prompts",
        "seed, generator_seed": "of the image, and of its noise",
        **{name: f"{scores[name].title}: {scores[name].explanation}" for name in release.scores},
    }


def _categories(release: Release) -> list[tuple[int, str, int]]:
    """Label, name and id of the first categories, if the annotations have any."""
    if not release.context.settings.task.finds_categories:
        return []
    categories = enumerate(release.context.task().categories)
    return [(label, category.name, category.id) for label, category in categories][:MOST_NAMES]


def _figures(release: Release, model: TrainedModel) -> str:
    """The figures of one training on dev and test, as a Markdown table."""
    test = _on_test(release, model)
    names = [name for name in METRICS if name in model.dev or name in test]
    if not names:
        return ""
    lines = ["| | dev | test |", "|---|---:|---:|"]
    for name in names:
        cells = [METRICS[name].text(part[name]) if name in part else "-" for part in (model.dev, test)]
        lines.append(f"| {METRICS[name].axis} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _on_test(release: Release, model: TrainedModel) -> dict[str, float]:
    """The figures of one training on test, where it was compared."""
    arms = release.metrics.get("arms", {}).get(model.training.arm, {})
    seed = str(model.training.seed)
    return {name: figure["seeds"][seed] for name, figure in arms.items() if seed in figure["seeds"]}


def _results(release: Release, model: TrainedModel) -> Any:
    """The figures as the Hub's model index has them: of test, or of dev where there are none of test."""
    test = _on_test(release, model)
    split, found = ("test", test) if test else ("dev", model.dev)
    for name, metric in TASKS[release.context.settings.task.name].metrics.items():
        if name in found:
            yield EvalResult(
                task_type=TASKS[release.context.settings.task.name].hub_task,
                dataset_type=release.context.benchmark,
                dataset_name=f"{release.context.benchmark} (real images)",
                dataset_split=split,
                metric_type=name,
                metric_name=metric.title,
                metric_value=round(found[name], 6),
            )
