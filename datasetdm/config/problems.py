"""Turn pydantic's errors into plain sentences about `params.yaml`."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from datasetdm.config import sections
from datasetdm.config.benchmark import Benchmark, Params

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
_SECTIONS: list[type[sections.Section]] = [
    one for one in vars(sections).values() if isinstance(one, type) and issubclass(one, sections.Section)
]
_SECTIONS += [Benchmark, Params]
_SETTINGS = sorted({name for one in _SECTIONS for name in one.model_fields})


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
        return f"{where} is not a setting{_meant(where.rpartition('.')[2])}"
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


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
