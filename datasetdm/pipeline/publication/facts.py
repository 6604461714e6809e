"""What cards tell of how something was made, and of what it is not good for."""

from collections.abc import Iterator, Mapping
from typing import Any

from datasetdm.arms import LABELLED
from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.decoder_methods import METHODS
from datasetdm.downstream.model import CONFIG_FILE
from datasetdm.pipeline.backbone_match import mismatch
from datasetdm.pipeline.publication.models import TrainedModel
from datasetdm.pipeline.publication.release import Release
from datasetdm.pipeline.publication.snapshot import without_own_paths
from datasetdm.task_parts import METRICS
from datasetdm.utils.files import read_json

MOST_NAMES = 100  # categories that a card lists by name


def facts_of_images(release: Release) -> dict[str, str]:
    """How the images came about: title -> text."""
    row, settings = release.row, release.context.settings
    revision = f" at revision `{row['model_revision']}`" if row["model_revision"] else ""
    accepted, drawn = len(release.accepted), len(release.manifest)
    return {
        "diffusion model": f"`{row['model_path']}`{revision}, {row['model_dtype']}, {row['image_size']} pixels",
        "fingerprint of its weights": f"`{row['backbone_fingerprint']}`",
        **({"LoRAs": f"`{row['loras']}`"} if row.get("loras") else {}),
        "sampler": f"{row['scheduler_class']}, {row['num_inference_steps']} steps, guidance {row['guidance_scale']:g}, "
        f"guidance rescale {row['guidance_rescale']:g}, {row['batch_size']} images at once, on {row['device']}",
        "prompts": f"{release.manifest['prompt'].nunique()} different ones, written by {_writer(release)}",
        "drawn and accepted": f"{drawn} drawn, {accepted} accepted ({100 * accepted / drawn:.0f} %) with "
        f"`synthesis.filter`: {_listed(settings.synthesis.filter.model_dump())}",
        **facts_of_decoder(release),
        "libraries": ", ".join(f"{name} {row[f'{name}_version']}" for name in ("torch", "diffusers", "transformers")),
    }


def facts_of_decoder(release: Release) -> dict[str, str]:
    """How the P-Decoder came about: title -> text."""
    decoder, row, settings = release.decoder, release.row, release.context.settings
    count = count_images(release.context.paths.real, LABELLED.subset(decoder.training.seed))
    source = settings.source.decoder or settings.source
    rendered = "rendered by the embedded world" if source.miniworld else f"of `{without_own_paths(str(source.root))}`"
    method = METHODS[settings.decoder.method]
    training = f"{settings.decoder.iterations} iterations" if method.trained else "without training"
    return {
        method.title: f"seed {decoder.training.seed}, fingerprint `{row['decoder_fingerprint']}`, "
        f"{training}; the best on dev of {len(release.context.seeds)}",
        "labelled images that it learnt from": f"{count}, {rendered}, in the layout `{source.format}`",
        "how it reads": f"{row['extraction']}, noise level {row['timestep']}, mean of {row['ensemble_size']}",
    }


def facts_of_champion(release: Release, model: TrainedModel, summary: str) -> dict[str, str]:
    """How the downstream model came about: title -> text."""
    settings = release.context.settings.downstream
    start = f"`{without_own_paths(str(settings.pretrained))}`" if settings.pretrained else "random weights"
    return {
        "network": f"`{settings.model}`, {settings.image_size} pixels",
        "trained on": f"{summary} (arm `{model.training.arm}`)" if summary else f"arm `{model.training.arm}`",
        "training": f"{settings.iterations} iterations of {settings.batch_size} images, seed {model.training.seed}, "
        f"from {start}",
        "SHA-256 of the weights": f"`{model.sha256}`",
        "why this one": "the best figure on dev of all arms and seeds that are not only controls",
    }


def limits(release: Release) -> Iterator[str]:
    """What a user of the set has to know."""
    yield f"The labels are predictions. On real dev images the P-Decoder reaches {_dev(release)}."
    yield from _limits_of_world(release)
    yield from _limits_of_seeds(release)
    if unlearnt := _unlearnt(release):
        yield f"The P-Decoder saw no labelled example of these, and labels none of them: {unlearnt}."
    yield (
        "The images have the habits, the gaps and the biases of the diffusion model. Persons and places in them do not "
        "exist. They must not be passed off as photographs."
    )
    yield "No person has looked through the images. The filter looks at scores and counts, not at what is shown."


def limits_of_model(release: Release) -> Iterator[str]:
    """What a user of one of the models has to know."""
    yield from _limits_of_world(release)
    yield from _limits_of_seeds(release)
    if unlearnt := _unlearnt(release):
        yield f"The few labelled images show none of these: {unlearnt}."
    yield "It was judged on the test images of one data set. Judge it on your own images before you rely on it."


def _limits_of_world(release: Release) -> Iterator[str]:
    if release.context.world == "miniworld":
        yield "The images are of the small rendered world of DatasetDM. Figures say nothing about photographs."
    elif reason := mismatch(release.context):
        path = release.context.params.backbone.path
        yield f"The drawn images cannot look like the real ones: {reason.replace(path, without_own_paths(path))}."


def _limits_of_seeds(release: Release) -> Iterator[str]:
    if len(release.context.seeds) == 1:
        yield "Everything was trained with one seed: no figure here has an interval, and differences may be chance."


def _dev(release: Release) -> str:
    """The figures of the P-Decoder on dev."""
    dev = release.decoder.dev
    shown = [f"{METRICS[name].axis} {METRICS[name].text(dev[name])}" for name in METRICS if name in dev]
    return ", ".join(shown) or "no figure, as dev holds nothing to measure"


def _unlearnt(release: Release) -> str:
    """The categories that the P-Decoder may not find, in words; empty if it may find all."""
    content: Any = read_json(release.decoder.folder / CONFIG_FILE, remedy="Run the stage train_decoder again.")
    learnt, subjects = content.get("learnt"), {category.id for category in release.context.task().subjects}
    if learnt is None:
        return ""
    categories = enumerate(release.context.task().categories)
    names = [category.name for label, category in categories if category.id in subjects and label not in learnt]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def _writer(release: Release) -> str:
    prompts = release.context.settings.prompts
    return {
        "templates": "the project's templates",
        "language_model": f"the language model `{without_own_paths(prompts.language_model.model)}`"
        if prompts.language_model
        else "",
        "files": "the publisher, in files",
    }[prompts.source]
