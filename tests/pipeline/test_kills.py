"""`kill -9` at any place: the next run ends with the same bytes, nothing lies about, and nothing is tracked twice."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from datasetdm.utils.files import leftover_of

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("killed.py")
MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


def run(folder: Path, notes: Path, mode: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(notes), mode, "run", "coco"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def outputs(folder: Path) -> dict[str, bytes]:
    """What the chain has published, file by file."""
    data = folder / "data"
    files = [path for path in data.rglob("*") if path.is_file()]
    kept = [file for file in files if not {".work", "backbones"} & set(file.relative_to(data).parts)]
    return {file.relative_to(data).as_posix(): file.read_bytes() for file in kept}


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in (folder / "data").rglob(".*") if leftover_of(path.name)]


def tracked(folder: Path) -> Counter[str]:
    """How many runs there are, by name; those of killed processes apart."""
    with closing(sqlite3.connect(folder / "mlflow/mlflow.db")) as store:
        rows = store.execute("SELECT name, status FROM runs").fetchall()
    assert {status for _, status in rows} <= {"FINISHED", "KILLED"}
    return Counter(name for name, status in rows if status == "FINISHED")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [pytest.param(1, id="one at random"), pytest.param(None, id="every place", marks=pytest.mark.extended)],
)
def test_a_killed_chain_ends_as_if_it_had_not_been(project, edit, tmp_path_factory, number: int | None) -> None:
    whole = project(MINIWORLD)
    if number is None:
        edit("benchmarks.coco.synthesis.rounds", 2)  # with all the places of a single round, and more
    edit("benchmarks.coco.experiment.arms", ["real", "both"])
    notes = tmp_path_factory.mktemp("kills")
    cut = notes / "project"
    shutil.copytree(whole, cut)
    finished = run(whole, notes, "note")
    assert finished.returncode == 0, finished.stderr

    places = (notes / "places").read_text().splitlines()
    seed = random.randrange(10**6)
    chosen = random.Random(seed).sample(places, number or len(places))
    print(f"seed {seed}, killed at: {chosen} of {places}")
    (notes / "places").write_text("".join(f"{place}\n" for place in places if place not in chosen))
    answer = run(cut, notes, "kill")
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout.splitlines()[-1]) >= len(chosen)
    assert outputs(cut) == outputs(whole)
    assert leftovers(cut) == []
    assert tracked(cut) == tracked(whole)
