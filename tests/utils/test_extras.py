"""Libraries that only some models need: what is missing is named, with the remedy, and nothing is imported."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.utils.extras import EXTRAS, require_extra

ROOT = Path(__file__).parents[2]


def test_every_missing_library_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mmdet", "mmcv"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DatasetDMError) as caught:
        require_extra("detection")
    assert "mmdet and mmcv are not installed" in str(caught.value)
    assert "make setup DETECTION=1" in str(caught.value) and "'datasetdm[detection]'" in str(caught.value)


def test_a_library_without_its_compiled_part_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "half_built"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('is not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    extra = replace(EXTRAS["detection"], libraries=("half_built",), compiled="half_built._ops")
    assert extra.missing() == ["half_built._ops"]
    (package / "_ops.cpython-311-x86_64-linux-gnu.so").touch()
    assert extra.missing() == []
    assert "half_built" not in sys.modules


def test_looking_imports_nothing_slow() -> None:
    code = (
        "import sys; from datasetdm.utils.extras import EXTRAS; EXTRAS['detection'].missing(); "
        "print([name for name in ('mmdet', 'mmengine', 'mmcv', 'torch') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == "[]"
