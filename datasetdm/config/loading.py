"""Read `params.yaml` and report all its problems at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from datasetdm.config.backbone import Backbone
from datasetdm.config.benchmark import Params, disagreements, misnamed, valid_sections
from datasetdm.config.problems import described
from datasetdm.errors import DatasetDMError

#: Gets the valid sections of a benchmark, and `backbone` if that is valid; returns further problems.
Checks = Callable[[dict[str, Any]], list[str]]


def load_params(
    path: Path | str = "params.yaml", *, study: bool = False, benchmark: str | None = None, checks: Checks | None = None
) -> Params:
    """Read and validate the settings.

    Args:
        path: the YAML file.
        study: override the settings of every benchmark with the block `study`, and then with its own (`make study`).
        benchmark: the benchmark that `checks` looks at.
        checks: gets the valid sections of that benchmark by name, and `backbone`; returns further problems.

    Raises:
        DatasetDMError: the file is missing, is not YAML, or has unknown or wrong values; lists all, one per line.
    """
    content = _read(Path(path))
    if study:
        content = _with_study(content)
    problems, params = [], None
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        problems = described(error)
    blocks = content.get("benchmarks")
    blocks = blocks if isinstance(blocks, dict) else {}
    problems += misnamed(list(blocks))
    if params is None:  # pydantic compares sections only if all of them are valid
        problems += [
            f"benchmarks.{name}.{problem}"
            for name, block in blocks.items()
            for problem in disagreements(valid_sections(block))
        ]
    if checks is not None and benchmark in blocks:
        problems += checks(valid_sections(blocks[benchmark]) | _valid_backbone(content))
    problems = list(dict.fromkeys(problems))
    if problems or params is None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DatasetDMError("\n  ".join([f"{path} has {count}:", *problems]))
    return params


def _valid_backbone(content: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"backbone": Backbone.model_validate(content.get("backbone"))}
    except ValidationError:
        return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        # DVC reads the file with the same library. It refuses a key that a block has twice.
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetDMError(
            f"{path.absolute()} is missing: run this in the project's root folder{_above()}."
        ) from None
    except OSError as error:
        raise DatasetDMError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except YAMLError as error:
        raise DatasetDMError(_where(path, error)) from None
    if not isinstance(content, dict):
        raise DatasetDMError(f"{path} contains no settings; compare it with the file in the repository.")
    return content


def _above() -> str:
    """`, which is ...` if the current folder is inside a project."""
    roots = [
        folder for folder in Path.cwd().parents if all((folder / name).exists() for name in ("params.yaml", ".dvc"))
    ]
    return f", which is {roots[0]}" if roots else ""


def _where(path: Path, error: YAMLError) -> str:
    """`params.yaml, line 12, column 3, is not valid YAML: ...`"""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{path} is not valid YAML: {' '.join(str(error).split())}"
    reason = ", ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}, is not valid YAML: {reason}."


def _with_study(content: dict[str, Any]) -> dict[str, Any]:
    """Every benchmark with the block `study` laid over it, and then its own `study`."""
    blocks = content.get("benchmarks")
    if not isinstance(blocks, dict):
        return content
    return {**content, "benchmarks": {name: _enlarged(block, content.get("study")) for name, block in blocks.items()}}


def _enlarged(block: Any, shared: Any) -> Any:
    """A benchmark's block at study size. Own data have no number of images to render."""
    if not isinstance(block, dict):
        return block
    merged = block
    for overlay in (shared, block.get("study")):
        merged = _merged(merged, overlay) if isinstance(overlay, dict) else merged  # what is no block is told later
    own, source = block.get("source"), merged.get("source")
    if isinstance(own, dict) and "miniworld" not in own and isinstance(source, dict):
        merged["source"] = {name: value for name, value in source.items() if name != "miniworld"}
    return merged


def _merged(base: Any, overlay: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    return {**base, **{key: _merged(base.get(key), value) for key, value in overlay.items()}}
