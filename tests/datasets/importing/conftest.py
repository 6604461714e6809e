"""Imports in an empty project."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from datasetdm.config import Params, load_params
from datasetdm.datasets.importing.exports import Request
from datasetdm.pipeline.import_data import Imported, Options, import_data

ROOT = Path(__file__).parents[3]
Import = Callable[..., Imported]


@cache
def _params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def run_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Import a folder or file into `data/raw/mine` of a folder of its own; keywords are those of both classes."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)

    def run(*paths: Path, name: str = "mine", **keywords: Any) -> Imported:
        asked = {key: keywords.pop(key) for key in list(keywords) if key in Request.__dataclass_fields__}
        return import_data(Request(paths=paths, **asked), Options(name=name, **keywords), _params())

    return run
