"""How messages name the command line."""

from pathlib import Path

import pytest

from datasetdm.utils.program import program


def test_a_message_names_what_can_be_typed_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program() == "datasetdm"
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/datasetdm").touch()
    assert program() == ".venv/bin/datasetdm"
