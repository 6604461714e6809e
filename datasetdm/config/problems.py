"""Turn pydantic's errors into plain sentences about `params.yaml`."""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from datasetdm.config.base import Section
from datasetdm.config.benchmark import Params
from datasetdm.config.tasks import TaskSection

_WANTED = {
    "int": "write a whole number",
    "float": "write a number",
    "bool": "write true or false",
    "string": "write text",
    "path": "write the path of a folder",
    "tuple": "write a list, in brackets",
    "dict": "write a block of settings",
    "model": "write a block of settings",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_LONGEST = 60
RENAMED = {  # old name of a setting -> its name now
    "backbone.device": "device",
    "decoder.noise_draws": "decoder.ensemble_size",
    "synthesis.num_inference_steps": "synthesis.sampler.num_inference_steps",
    "synthesis.guidance_scale": "synthesis.sampler.guidance_scale",
    "synthesis.guidance_rescale": "synthesis.sampler.guidance_rescale",
    "synthesis.scheduler": "synthesis.sampler.scheduler",
    "synthesis.score_threshold": "synthesis.filter.score_threshold",
    "synthesis.require_prompted": "synthesis.filter.require_prompted",
    "synthesis.doubt_threshold": "synthesis.filter.doubt_threshold",
    "synthesis.min_area": "synthesis.filter.min_area",
    "synthesis.max_instances": "synthesis.filter.max_instances",
    "downstream.arms": "experiment.arms",
    "downstream.p_decoder": "experiment.p_decoder",
    "downstream.real_weight": "experiment.real_weight",
    "downstream.self_training_threshold": "experiment.self_training_threshold",
}


def _names_in(kind: Any) -> set[str]:
    """The names of all settings in a section and in the sections that its fields hold, however deep."""
    if not isinstance(kind, type) or not issubclass(kind, Section):
        return set().union(*map(_names_in, get_args(kind)))
    return {*kind.model_fields}.union(*(_names_in(field.annotation) for field in kind.model_fields.values()))


_SETTINGS = sorted(_names_in(Params).union(*(_names_in(kind) for kind in TaskSection.__subclasses__())))


def described(error: ValidationError) -> list[str]:
    """One sentence per problem: the setting, its value, and what is allowed."""
    problems = []
    for item in error.errors():
        where = _where(item["loc"])
        if (
            item["type"] == "value_error" and where.count(".") == 1
        ):  # about a benchmark as a whole: its lines name settings
            problems += [f"{where}.{line}" for line in str(item["ctx"]["error"]).splitlines()]
        else:
            problems.append(_sentence(where, item))
    return problems


def _where(loc: tuple[int | str, ...]) -> str:
    """`benchmarks.coco.task.unseen`."""
    return ".".join(str(part) for part in loc if part != "[key]")


def _sentence(where: str, item: Mapping[str, Any]) -> str:
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    wrong = f"{where} is {_shown(given)}"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is {_new_name(where) or f'not a setting{_meant(where)}'}"
    if kind == "value_error":
        return f"{where} {context['error']}"
    if kind in _BOUNDS:
        bound, word = _BOUNDS[kind]
        return f"{wrong}; it has to be {word} {context[bound]:g}"
    if kind == "literal_error":
        return f"{wrong}; choose one of {context['expected'].replace(' or ', ', ')}"
    if kind == "finite_number":
        return f"{wrong}; write a finite number"
    if kind in ("string_too_short", "too_short"):
        return f"{where} is empty; at least one is needed" if kind == "too_short" else f"{where} is an empty text"
    if kind == "too_long":
        return f"{where} has {context['actual_length']} entries; it takes {context['max_length']}"
    if kind == "string_pattern_mismatch":
        return f"{wrong}; write rows x columns, such as 2x3"
    wanted = _WANTED.get(kind.split("_")[0])
    if kind.startswith("tuple") and isinstance(given, int | float | str):
        wanted = f"write a list: [{given}]"
    return f"{wrong}; {wanted}" if wanted else f"{wrong}: {item['msg']}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _new_name(where: str) -> str | None:
    """`now called ...` if the setting has moved."""
    old = ".".join(where.split(".")[-2:])
    return f"now called {where.removesuffix(old)}{RENAMED[old]}" if old in RENAMED else None


def _meant(where: str) -> str:
    close = difflib.get_close_matches(where.rpartition(".")[2], _SETTINGS, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
