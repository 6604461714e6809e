"""The settings that a published output was made with, and how those of `params.yaml` differ from them by now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.publish import RECORD
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program


def read_record(stage: Stage[Context], context: Context) -> dict[str, Any]:
    """The record of a stage's output: see `publish_checked`.

    Raises:
        DatasetDMError: the output or its record is missing or damaged.
    """
    file = stage.output(context) / RECORD
    if not file.exists():
        raise missing(context, file, stage.name)
    record = read_json(file, remedy=_again(stage, context))
    if not (isinstance(record, dict) and isinstance(record.get("settings"), dict)):
        raise DatasetDMError(f"{file} is no record of settings. {_again(stage, context)}")
    return record


def changes(stage: Stage[Context], context: Context) -> list[str]:
    """What is another now than when the output was made, a line per setting; the stage's code counts, too.

    Raises:
        DatasetDMError: as `read_record`.
    """
    record = read_record(stage, context)
    before, now = _flat(record["settings"]), _flat(stage.settings(context))
    absent = "not set"
    lines = [
        f"{name}: was {before.get(name, absent)}, now {now.get(name, absent)}"
        for name in {**before, **now}
        if before.get(name, absent) != now.get(name, absent)
    ]
    if record.get("code_version") != stage.code_version:
        lines.append(f"the code of {stage.name}: was version {record.get('code_version')}, now {stage.code_version}")
    return lines


def as_made(stage: Stage[Context], context: Context) -> Context:
    """The benchmark with the settings that the output of a stage was made with, as far as that stage depends on them.

    Raises:
        DatasetDMError: as `read_record`, or the settings are of a version that this one cannot read.
    """
    recorded = read_record(stage, context)["settings"]
    shared = {name: recorded[name] for name in stage.shared_parameters if name in recorded}
    block = context.settings.model_dump() | {key: value for key, value in recorded.items() if key not in shared}
    try:
        benchmarks = {**context.params.benchmarks, context.benchmark: config.Benchmark.model_validate(block)}
        params = config.Params.model_validate({**dict(context.params), **shared, "benchmarks": benchmarks})
    except ValidationError as error:
        reason = " ".join(str(error).split())
        raise DatasetDMError(
            f"{stage.output(context) / RECORD} has settings that this version cannot use ({reason}). "
            f"{_again(stage, context)}"
        ) from None
    return replace(context, params=params)


def _again(stage: Stage[Context], context: Context) -> str:
    flag = " --study" if context.study else ""
    return f"Run `{program()} {stage.name} {context.benchmark}{flag}` again."


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings of sections as `synthesis.sampler.guidance_scale`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
