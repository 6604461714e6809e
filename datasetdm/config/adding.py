"""Add a benchmark's block to `params.yaml`. All other lines stay as they are, comments among them."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from datasetdm.config.loading import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import replacing


def add_block(file: Path, name: str, text: str, *, replace: bool = False) -> None:
    """Write a block into the settings, after the other benchmarks or in place of the one of its name.

    The new file replaces the old one only if it can be read, and if nothing else in it has changed.

    Args:
        file: `params.yaml`.
        name: of the benchmark.
        text: its block, indented as below `benchmarks:`.
        replace: whether a block of this name is replaced.

    Raises:
        DatasetDMError: there is a block of this name already, or the file would not be valid; it is as it was.
    """
    file = file.resolve()  # a link stays one
    old = file.read_text(encoding="utf-8")
    content = YAML().load(old)
    benchmarks = content.get("benchmarks") if isinstance(content, CommentedMap) else None
    if not isinstance(benchmarks, CommentedMap) or benchmarks.fa.flow_style():
        raise DatasetDMError(f"{file} has no block `benchmarks:` with a benchmark per line. Add the block yourself.")
    if name in benchmarks and not replace:
        raise DatasetDMError(f"{file} has a benchmark '{name}' already. Choose another --name, or add --replace.")
    lines = old.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    start, end = _place(content, name, lines)
    new = "".join([*lines[:start], *_gap(lines, start), text, *lines[end:]])
    with replacing(file) as temporary:
        temporary.write_text(new, encoding="utf-8")
        load_params(temporary)
        _check_rest(old, new, name)


def _place(content: CommentedMap, name: str, lines: list[str]) -> tuple[int, int]:
    """First and last line (exclusive) of what the block replaces: its own lines, or none after the last benchmark."""
    benchmarks = content["benchmarks"]
    top = [content.lc.key(key)[0] for key in content]
    after = min((line for line in top if line > content.lc.key("benchmarks")[0]), default=len(lines))
    if name not in benchmarks:
        return (_without_comments(lines, after),) * 2
    start = benchmarks.lc.key(name)[0]
    following = [benchmarks.lc.key(key)[0] for key in benchmarks if key in benchmarks.lc.data]
    return start, _without_comments(lines, min((line for line in following if line > start), default=after))


def _without_comments(lines: list[str], line: int) -> int:
    """The line before which nothing but comments and blank lines stand: those belong to what follows."""
    while line and (not lines[line - 1].strip() or lines[line - 1].lstrip().startswith("#")):
        line -= 1
    return line


def _gap(lines: list[str], start: int) -> list[str]:
    """A blank line between two benchmarks."""
    return ["\n"] if start and lines[start - 1].strip() not in ("", "benchmarks:") else []


def _check_rest(old: str, new: str, name: str) -> None:
    before, after = (_settings(text) for text in (old, new))
    for content in (before, after):
        content["benchmarks"].pop(name, None)
    if before != after:
        raise DatasetDMError("The block cannot be added without a change to other settings. Add it yourself.")


def _settings(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)
