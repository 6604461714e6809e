"""The names of categories, which become words in prompts."""

import re
from collections import Counter, defaultdict
from dataclasses import replace

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.sample import Category
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.naming import as_read

_MEANINGLESS = re.compile(r"(class|category|label|object|defect|type)?[\W_]*\d+|[a-z]|[a-z]{1,3}[\W_]?\d+", re.I)


def check_names(contents: Contents, findings: Findings) -> Contents:
    """The contents with names that the project takes; names that a prompt cannot use are counted."""
    renamed = {category.name: _printable(category.name) for category in contents.categories}
    for old, new in renamed.items():
        if old != new:
            findings.odd("category names had signs that do not print, or ';': replaced", f"{old!r} -> {new!r}")
    categories: dict[str, Category] = {}
    for category in contents.categories:
        name = renamed[category.name]
        categories.setdefault(name, replace(category, name=name))
    pictures = tuple(
        replace(picture, shapes=tuple(replace(shape, label=renamed[shape.label]) for shape in picture.shapes))
        for picture in contents.pictures
    )
    contents = replace(contents, categories=tuple(categories.values()), pictures=pictures)
    if contents.task in ("instance", "pose"):
        used = Counter(shape.label for picture in pictures for shape in picture.shapes)
        unused = [name for name in categories if not used[name]]
        if unused:
            findings.odd("categories have no object", ", ".join(unused[:5]), count=len(unused))
    strange = [name for name in categories if name != BACKGROUND and _MEANINGLESS.fullmatch(name)]
    if strange:
        findings.odd(
            "category names mean nothing in a prompt (map each to an English noun: `source.names` in params.yaml)",
            ", ".join(strange[:5]),
            count=len(strange),
        )
    return contents


def same_in_prompt(categories: tuple[Category, ...]) -> list[list[str]]:
    """Groups of names that read the same in a prompt: `traffic_light` and `traffic light`."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for category in categories:
        alike[as_read(category)].append(category.name)
    return [names for names in alike.values() if len(names) > 1]


def _printable(name: str) -> str:
    text = "".join(sign if sign.isprintable() and sign != ";" else " " for sign in name)
    return " ".join(text.split()) or "unnamed"
