"""Files of figures that grow from run to run."""

from pathlib import Path

import pytest

from benchmarks.figures import add_figures
from datasetdm.errors import DatasetDMError


def test_a_run_adds_its_seeds_and_replaces_figures_that_it_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "curve.json"
    add_figures(file, {"rounds": 4}, {"static": {"100": {"0": 0.1, "1": 0.2}}})
    found = add_figures(file, {"rounds": 4}, {"static": {"100": {"1": 0.3, "2": 0.4}}, "looped": {"100": {"2": 0.5}}})
    assert found == {"static": {"100": {"0": 0.1, "1": 0.3, "2": 0.4}}, "looped": {"100": {"2": 0.5}}}
    assert add_figures(file, {"rounds": 4}, {}) == found


def test_figures_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    file = tmp_path / "curve.json"
    add_figures(file, {"rounds": 4, "weak": ["light: night"]}, {"0": 1.0})
    before = file.read_bytes()
    with pytest.raises(DatasetDMError, match="another rounds"):
        add_figures(file, {"rounds": 2, "weak": ["light: night"]}, {"0": 2.0})
    assert file.read_bytes() == before
