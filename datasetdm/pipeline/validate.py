"""`datasetdm validate`: whether a benchmark can run, found out in seconds, with all problems at once."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from huggingface_hub import try_to_load_from_cache

from datasetdm.config import Source
from datasetdm.datasets.naming import check_same, rename, tell_apart
from datasetdm.datasets.native import open_split
from datasetdm.datasets.split import Split
from datasetdm.diffusion import draws_miniworld, find_weights, words_unknown_to
from datasetdm.diffusion.adapters import find_lora
from datasetdm.diffusion.completeness import check_complete_model
from datasetdm.diffusion.ip_adapter import find_ip_adapter, reference_images
from datasetdm.downstream import DOWNSTREAM
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.paths import DATA
from datasetdm.tasks import build_task
from datasetdm.utils.devices import choose_device
from datasetdm.utils.hub import is_hub_name
from datasetdm.utils.safetensors_files import is_whole

BYTES_PER_PIXEL = 2  # of a generated image as PNG, with its annotation
_BYTES_PER_VIEW = 2_000_000  # of a cached view of a labelled image
_GB = 1e9


@dataclass
class Validation:
    """What was found.

    Attributes:
        lines: what is fine, or has to be known.
        warnings: what may go wrong later.
        problems: what stops the benchmark.
    """

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def validate(benchmark: str, *, study: bool = False) -> Validation:
    """Check settings, device, weights, data and disk; no image is opened, and nothing is downloaded or written."""
    found = Validation()
    try:
        context = open_context(benchmark, study=study)
    except DatasetDMError as error:  # all problems of the settings, at which nothing else can be checked
        found.problems.append(str(error))
        return found
    found.lines.append("settings: valid")
    for check in _CHECKS:
        try:
            found.lines += check(context)
        except DatasetDMError as error:
            found.problems.append(str(error))
    found.warnings += _unpinned(context)
    return found


def _device(context: Context) -> Iterator[str]:
    yield f"device: {choose_device(context.params.device)}"


def _log(context: Context) -> Iterator[str]:
    context.check_log()
    yield "MLflow: ready"


def _backbone(context: Context) -> Iterator[str]:
    settings = context.params.backbone
    if is_hub_name(settings.path):
        yield f"diffusion model: {_hub_state(settings.path, settings.revision, 'model_index.json')}"
    else:
        folder = find_weights(settings)
        check_complete_model(folder, settings)
        yield f"diffusion model: {folder}"


def _adapters(context: Context) -> Iterator[str]:
    """LoRAs and the IP-Adapter: whether they are there."""
    backbone = context.params.backbone
    for lora in backbone.loras:
        if is_hub_name(lora.path):
            yield f"LoRA: {lora.path}, from the hub"
        else:
            file = find_lora(lora)
            if not is_whole(file):
                raise DatasetDMError(f"{file} is cut off or damaged: copy it again (backbone.loras in params.yaml).")
            yield f"LoRA: {file}"
    if adapter := backbone.ip_adapter:
        images = len(reference_images(adapter))
        place = adapter.path if is_hub_name(adapter.path) else find_ip_adapter(adapter)
        yield f"IP-Adapter: {place}, with {images} reference image{'s' * (images > 1)}"


def _unpinned(context: Context) -> Iterator[str]:
    """Names on the hub that may mean other weights tomorrow."""
    backbone, pretrained = context.params.backbone, context.settings.downstream.pretrained
    named: list[tuple[str, str, str | None]] = [
        ("backbone.revision", backbone.path, backbone.revision),
        *((f"backbone.loras.{number}.revision", one.path, one.revision) for number, one in enumerate(backbone.loras)),
    ]
    if adapter := backbone.ip_adapter:
        named.append(("backbone.ip_adapter.revision", adapter.path, adapter.revision))
    if pretrained is not None:
        hub, _, commit = pretrained.partition("@")
        named.append((f"downstream.pretrained ({hub}@<commit>)", hub, commit or None))
    for setting, name, revision in named:
        if is_hub_name(name) and revision is None:
            yield (
                f"{name} on the hub has no pinned version, so its owner may change the weights, and you would not "
                f"notice: write the commit that its page shows as {setting} in params.yaml."
            )


def _downstream(context: Context) -> Iterator[str]:
    DOWNSTREAM[context.settings.task.name].check_installed()
    yield f"downstream model: {context.settings.downstream.model}"


def _pretrained(context: Context) -> Iterator[str]:
    name = context.settings.downstream.pretrained
    if name is None:
        yield "downstream weights: random"
    elif is_hub_name(name):
        hub, _, revision = name.partition("@")
        yield f"downstream weights: {_hub_state(hub, revision or None, 'model.safetensors')}"
    elif not (Path(name) / "model.safetensors").is_file():
        raise DatasetDMError(
            f"{Path(name) / 'model.safetensors'} is missing, but downstream.pretrained in params.yaml names it. Put "
            "the weights there, name a model of the hub, or set downstream.pretrained to null."
        )
    elif not is_whole(Path(name) / "model.safetensors"):
        raise DatasetDMError(
            f"{Path(name) / 'model.safetensors'} is cut off or damaged: copy or download it again "
            "(downstream.pretrained in params.yaml names it)."
        )
    else:
        yield f"downstream weights: {name}"


def _data(context: Context) -> Iterator[str]:
    """Counts of images against what `ingest` asks for; what the diffusion model knows of the categories."""
    source, sizes = context.settings.source, context.settings.ingest
    if source.miniworld:
        yield "data: rendered by `ingest`"
        return
    train, val = (_open(source, side) for side in ("train", "val"))
    check_same(train, val, "Give both the same categories.")
    asked = sizes.num_real + sizes.num_dev + sizes.num_oracle + sizes.num_iid
    problems = []
    if asked > len(train):
        problems.append(
            f"{source.root} has {len(train)} training images, but `ingest` asks for {asked} (num_real + num_dev + "
            "num_oracle + num_iid): lower these in params.yaml."
        )
    if (sizes.num_test or 1) > len(val):
        problems.append(
            f"{source.root} has {len(val)} validation images, but `ingest.num_test` asks for more: lower it."
        )
    problems += _unknown(context, train)
    if problems:
        raise DatasetDMError("\n".join(problems))
    yield f"data: {len(train)} training and {len(val)} validation images, {len(train.categories)} categories"


def _unknown(context: Context, train: Split) -> Iterator[str]:
    """Why the diffusion model cannot draw such images."""
    backbone = context.params.backbone
    if backbone.allow_mismatch:
        return
    if draws_miniworld(backbone):
        yield (
            f"{backbone.path} draws the embedded world alone, and the data are not of that world: set backbone.path in "
            "params.yaml to a model for photographs (cp params/paper.yaml params.yaml)."
        )
        return
    named = context.settings.prompts.subjects or [
        c.noun for c in build_task(context.settings.task, train.categories).subjects
    ]
    if words := words_unknown_to(backbone, list(named)):
        yield (
            f"{backbone.path} does not know these words: {', '.join(words[:8])}. Give the categories English nouns in "
            "`source.names`, or name what it knows in `prompts.subjects`."
        )


def _disk(context: Context) -> Iterator[str]:
    settings = context.settings
    spliced = settings.augmentation.num_images * settings.augmentation.max_size**2 / 2
    pixels = settings.synthesis.num_images * context.params.backbone.image_size**2 + spliced
    views = (settings.decoder.views_per_image or 0) * settings.ingest.num_real
    needed = (pixels * BYTES_PER_PIXEL + views * _BYTES_PER_VIEW * len(settings.seeds)) / _GB
    free = shutil.disk_usage(DATA if DATA.exists() else Path()).free / _GB
    if needed > free:
        raise DatasetDMError(
            f"The disk of {DATA.resolve()} has {free:.1f} GB free, and the generated images and cached views take "
            f"about {needed:.1f} GB: free some space, or lower synthesis.num_images or augmentation.num_images in "
            "params.yaml."
        )
    yield f"disk: about {needed:.1f} of {free:.0f} free GB, models aside"


_CHECKS: tuple[Callable[[Context], Iterator[str]], ...] = (
    _device,
    _log,
    _backbone,
    _adapters,
    _downstream,
    _pretrained,
    _data,
    _disk,
)


def _open(source: Source, side: str) -> Split:
    literal: Literal["train", "val"] = "train" if side == "train" else "val"
    opened = open_split(source.format, source.root, literal)
    opened.categories = rename(opened, source.names)
    return tell_apart(opened, merge=source.merge_same_names)


def _hub_state(name: str, revision: str | None, file: str) -> str:
    return f"{name}, {'on this machine' if _is_stored(name, revision, file) else 'downloaded at first use'}"


def _is_stored(name: str, revision: str | None, file: str) -> bool:
    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


def downloads(context: Context) -> list[str]:
    """The hub models of the settings that are not on this machine yet: `<setting>: <name>`."""
    pretrained, _, revision = (context.settings.downstream.pretrained or "").partition("@")
    backbone = context.params.backbone
    models = (
        ("backbone.path", backbone.path, backbone.revision, "model_index.json"),
        ("downstream.pretrained", pretrained, revision or None, "model.safetensors"),
    )
    return [
        f"{setting}: {name}"
        for setting, name, pinned, file in models
        if name and is_hub_name(name) and not _is_stored(name, pinned, file)
    ]
