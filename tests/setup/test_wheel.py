"""A wheel holds all that the package reads, and works far from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FROM_THE_WHEEL = """
import datasetdm
from datasetdm.reports.leaderboard import leaderboard, render_leaderboard
from datasetdm.tracking import requirements
print(datasetdm.__file__)
print(len(requirements()), "mmcv==2.1.0" in requirements("detection"))
print(render_leaderboard(leaderboard({}, [])).count("<html"))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources, unpacked."""
    scratch = tmp_path_factory.mktemp("wheel")
    source = scratch / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for file in ROOT.glob("requirements*"):
        shutil.copy(file, source)
    for name in ("datasetdm", "orchestration"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(scratch)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "unpacked")
    return scratch / "unpacked"


@pytest.mark.slow
def test_it_holds_every_file_of_the_package_and_the_lock(unpacked: Path) -> None:
    shipped = {path.relative_to(ROOT) for path in (ROOT / "datasetdm").rglob("*") if path.is_file()}
    shipped = {path for path in shipped if "__pycache__" not in path.parts}
    shipped |= {Path("datasetdm", lock.name) for lock in ROOT.glob("*.lock")}
    assert not [path for path in sorted(shipped) if not (unpacked / path).is_file()]
    (entry_points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "datasetdm = datasetdm.cli:main" in entry_points.read_text()


@pytest.mark.slow
def test_it_works_far_from_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    helped = subprocess.run([sys.executable, "-m", "datasetdm", "--help"], **options)
    assert helped.returncode == 0 and "train_decoder" in helped.stdout
    answer = subprocess.run([sys.executable, "-c", FROM_THE_WHEEL], **options)
    assert answer.returncode == 0, answer.stderr
    file, pins, with_mmcv, pages = answer.stdout.split()
    assert Path(file).is_relative_to(unpacked) and int(pins) > 100 and with_mmcv == "True" and int(pages) == 1
