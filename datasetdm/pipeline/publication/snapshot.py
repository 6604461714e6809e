"""The settings as they are published: those of one benchmark, without where things lie on this machine."""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from datasetdm.pipeline.context import Context


def settings_snapshot(context: Context) -> str:
    """A `params.yaml` of this benchmark alone, which `datasetdm run` takes; absolute paths are names only.

    What the study has changed is part of the benchmark's settings, so nothing is left for a block `study` to override.
    """
    content = {
        "device": context.params.device,
        "backbone": context.params.backbone.model_dump(mode="json"),
        "benchmarks": {context.benchmark: context.settings.model_dump(mode="json", exclude={"study"})},
    }
    return yaml.safe_dump(cleaned(content), sort_keys=False, allow_unicode=True, width=100)


def without_own_paths(text: str) -> str:
    """The last part of an absolute path, which would tell others the name of a user or a project; other texts stay."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and path.name:
            return path.name
    return text


def cleaned(value: Any) -> Any:
    """Lists and dictionaries of such texts."""
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return without_own_paths(value) if isinstance(value, str) else value
