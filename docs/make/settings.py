"""docs/settings.md: every setting of `params.yaml`, from the classes that check it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

from pydantic.fields import FieldInfo

from datasetdm.arms import ARMS
from datasetdm.config import Benchmark, Params, Section, TaskSection
from datasetdm.layouts import LAYOUTS
from datasetdm.task_parts import TASKS
from docs.make.tables import notice, table

INTRODUCTION = """
# Settings

All settings are in `params.yaml`. An unknown or wrong setting is an error that names it, and all such errors come at
once; `datasetdm validate` looks for them without running anything. A setting without a default has to be there. A block
(`decoder:`, `filter:`, ...) has its own table below, under its path within a benchmark. In YAML, None is `null`.

`params/` has complete files to start from. If you change a setting, only the work that depends on it is done again.
"""


def settings_page() -> str:
    """The page as Markdown."""
    parts = [notice("`datasetdm/config/`"), INTRODUCTION, *_section("The file", "", Params, set()), *_names()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def sections(path: str = "", kind: type[Section] = Params) -> Iterator[tuple[str, type[Section]]]:
    """Every section with its path, as pages name it: `synthesis.filter`, not `benchmarks.coco.synthesis.filter`."""
    yield path, kind
    if kind is Benchmark:
        yield from (("task", _task_section(name)) for name in TASKS)
    for inner, where in inner_sections(path, kind):
        yield from sections(where, inner)


def undescribed() -> list[str]:
    """Settings without a description, by their paths."""
    return [
        _join(path, name)
        for path, kind in sections()
        for name, field in kind.model_fields.items()
        if not field.description
    ]


def _section(title: str, path: str, kind: type[Section], seen: set[type]) -> Iterator[str]:
    """The heading, the text and the table of a section, then those of the sections in it that had none yet."""
    seen.update(kind.__mro__)
    yield f"## {title}"
    yield _docstring(kind)
    yield _table(kind)
    if kind is Benchmark:
        for name in TASKS:
            yield f"## `task`: `{name}`"
            yield _docstring(_task_section(name))
            yield _table(_task_section(name))
    for inner, where in inner_sections(path, kind):
        if inner not in seen:
            yield from _section("A benchmark" if inner is Benchmark else f"`{where}`", where, inner, seen)


def _table(kind: type[Section]) -> str:
    schema = kind.model_json_schema()
    return table(
        ("setting", "value", "default", "meaning"),
        [
            (
                f"`{name}`",
                "a task's name, or a block"
                if name == "task"
                else _words(schema["properties"][name], schema.get("$defs", {})),
                _default(field),
                field.description or "",
            )
            for name, field in kind.model_fields.items()
        ],
    )


def _names() -> Iterator[str]:
    """The names that settings take from the registries."""
    yield "## Names of layouts\n\nFor `source.format`. [own-data.md](own-data.md) describes them."
    yield table(("name", "task"), [(f"`{name}`", layout.task) for name, layout in LAYOUTS.items()])
    yield "## Names of arms\n\nFor `experiment.arms`: see [how-it-works.md](how-it-works.md#what-is-compared)."
    yield table(
        ("name", "needs"),
        [(f"`{name}`", "`ingest.num_oracle`" if arm.further_images else "") for name, arm in ARMS.items()],
    )
    yield "## Names of downstream models\n\nFor `downstream.model`."
    catalogues = resolve_name("datasetdm.downstream.registry:CATALOGUES")
    models = [model for catalogue in catalogues for model in catalogue.values()]
    yield table(
        ("name", "tasks", "sides of images"),
        [
            (
                f"`{model.name}`",
                ", ".join(model.tasks),
                f"multiples of {model.size_multiple}" if model.size_multiple > 1 else "any",
            )
            for model in models
        ],
    )


def _task_section(name: str) -> type[Section]:
    kind: type[Section] = resolve_name(TASKS[name].settings)
    return kind


def inner_sections(path: str, kind: type[Section]) -> Iterator[tuple[type[Section], str]]:
    """The sections that the settings of a section hold, with their paths; those of tasks are listed apart."""
    for name, field in kind.model_fields.items():
        for inner in _kinds(field.annotation):
            if isinstance(inner, type) and issubclass(inner, Section) and not issubclass(inner, TaskSection):
                yield inner, "" if inner is Benchmark else _join(path, name)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _docstring(kind: type[Section]) -> str:
    """The first paragraph of its docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Section):
        return "see below"
    if default in ((), {}):
        return "none"
    plain = default if not isinstance(default, Path) else str(default)
    return f"`{plain}`" if isinstance(plain, str) else f"`{json.dumps(plain)}`"


def _words(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _words(shared[schema["$ref"].rsplit("/", 1)[-1]], shared)
    if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{choice}`" for choice in choices)
    if "anyOf" in schema or "allOf" in schema:
        parts = [_words(part, shared) for part in schema.get("anyOf", schema.get("allOf"))]
        return " or ".join(sorted(set(parts), key=lambda part: (part == "null", parts.index(part))))
    if "properties" in schema:
        return "block"
    match schema.get("type"):
        case "integer":
            return "whole number" + _range(schema)
        case "number":
            return "number" + _range(schema)
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "path" if schema.get("format") == "path" else "text"
        case "null":
            return "null"
        case "array" if "prefixItems" in schema:
            return "list: " + ", ".join(_words(item, shared) for item in schema["prefixItems"])
        case "array":
            return f"list of: {_words(schema.get('items', {}), shared)}"
        case "object":
            named = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
            inner = next((kind for kind in named if isinstance(kind, Mapping)), None)
            return f"name: {'setting' if inner is None else _words(inner, shared)}"
    return "noise level"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    parts = [
        f"from {low:g}" if low is not None else "",
        f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else "",
        f"to {high:g}" if high is not None else "",
        f"below {schema['exclusiveMaximum']:g}" if "exclusiveMaximum" in schema else "",
    ]
    said = " ".join(part for part in parts if part)
    return f" {said}" if said else ""
