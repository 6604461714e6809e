"""A project for the engine alone: no benchmark, no experiment log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from datasetdm.errors import DatasetDMError


@dataclass
class Toy:
    """What the engine asks of a project.

    Attributes:
        settings: by key.
        log: what the experiment log is known by.
        log_answers: whether it can be reached.
    """

    work: Path
    name: str = "toy"
    settings: dict[str, Any] = field(default_factory=dict)
    log: str | None = "1"
    log_answers: bool = True

    def settings_of(self, own: Sequence[str], shared: Sequence[str]) -> dict[str, Any]:
        return {key: self.settings.get(key) for key in (*own, *shared)}

    def check_log(self) -> None:
        if not self.log_answers:
            raise DatasetDMError("the experiment log does not answer")

    def log_identity(self) -> str | None:
        return self.log


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(work=tmp_path / "work")
