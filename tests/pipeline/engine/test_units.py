"""Units and outputs appear whole or not at all."""

import os
import shutil
from pathlib import Path

import pytest

from datasetdm.pipeline.engine.units import (
    is_finished,
    make_unit,
    passing_over_busy_units,
    resume_folder,
    sweep,
    unit_seconds,
    unit_times,
)
from datasetdm.utils.files import link
from datasetdm.utils.inventory import take_inventory
from datasetdm.utils.leases import Busy, lease
from datasetdm.utils.processes import machine


def write(folder: Path, name: str = "a.txt", text: str = "a") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_unit_is_made_once(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        make_unit(tmp_path / "unit", lambda folder: (made.append(1), write(folder)))
    assert made == [1] and (tmp_path / "unit" / "a.txt").read_text() == "a"


def test_failed_unit_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_unit(tmp_path / "work" / "unit", fail)
    assert list((tmp_path / "work").iterdir()) == []


def test_checkpoints_outlive_a_failure_but_not_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "unit"

    def cut(folder: Path) -> None:
        write(resume_folder(unit))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_unit(unit, cut)
    assert (resume_folder(unit) / "a.txt").exists()
    unit.with_suffix(".seconds").write_text("100")  # as if it had been cut off late
    make_unit(unit, lambda folder: write(folder, text=(resume_folder(unit) / "a.txt").read_text()))
    assert (unit / "a.txt").read_text() == "a" and not resume_folder(unit).exists()
    assert 100 <= unit_seconds(unit) < 200
    shutil.rmtree(unit)
    make_unit(unit, write)
    assert unit_seconds(unit) < 100  # from the start, not resumed


def test_what_another_process_is_making_is_passed_over(tmp_path: Path) -> None:
    with lease(tmp_path / "unit.lease"), passing_over_busy_units(), pytest.raises(Busy):
        make_unit(tmp_path / "unit", write)
    make_unit(tmp_path / "unit", write)
    assert (tmp_path / "unit" / "a.txt").exists()


def test_the_work_on_units_ended_with_the_last_and_took_as_long_as_all(tmp_path: Path) -> None:
    assert unit_times([tmp_path / "none"]) is None
    for name, seconds, end in (("a", "100", 1000), ("b", "50", 5000)):
        make_unit(tmp_path / name, write)
        note = tmp_path / f"{name}.seconds"
        note.write_text(seconds)
        os.utime(note, (end, end))
    assert unit_times([tmp_path / "a"]) == (900, 1000)
    assert unit_times([tmp_path / "b", tmp_path / "a", tmp_path / "none"]) == (4850, 5000)


@pytest.mark.parametrize("content", ["", "12.", "nan", "many"])
def test_a_damaged_note_of_the_time_is_ignored(tmp_path: Path, content: str) -> None:
    make_unit(tmp_path / "unit", write)
    (tmp_path / "unit.seconds").write_text(content)
    assert unit_seconds(tmp_path / "unit") == (12.0 if content == "12." else 0.0)


def test_a_unit_damaged_through_a_published_link_is_made_again(tmp_path: Path, caplog) -> None:
    make_unit(tmp_path / "unit", write)
    published = tmp_path / "out" / "a.txt"
    link(tmp_path / "unit" / "a.txt", published)
    os.truncate(published, 0)
    assert not is_finished(tmp_path / "unit")
    make_unit(tmp_path / "unit", write)
    assert "unit is damaged (a.txt has 0 bytes instead of 1) and is made again" in caplog.text
    assert is_finished(tmp_path / "unit") and (tmp_path / "unit" / "a.txt").read_text() == "a"
    assert not list(tmp_path.glob(".*"))


def test_a_unit_without_an_inventory_stays(tmp_path: Path) -> None:
    make_unit(tmp_path / "unit", write)
    (tmp_path / "unit.files").unlink()  # as units were before there were inventories
    (tmp_path / "unit" / "a.txt").write_text("as it was")
    assert is_finished(tmp_path / "unit")
    make_unit(tmp_path / "unit", write)
    assert (tmp_path / "unit" / "a.txt").read_text() == "as it was"


LEFTOVERS = (
    ".unit.0123abcd.tmp",
    ".unit.0123abcd.old",
    "..unit.0123abcd.tmp.89abcdef.tmp",
    "..unit.0123abcd.tmp-x_1y2z3a",
    ".unit.files.0123abcd.tmp",
    ".unit.seconds.0123abcd.tmp",
)


def test_leftovers_are_swept_unless_their_process_lives(tmp_path: Path) -> None:
    for name in LEFTOVERS:
        write(tmp_path / name)
        write(tmp_path / name.replace("unit", "busy"))
    write(tmp_path / "unit")
    with lease(tmp_path / "busy.lease"):
        sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(
        [*(name.replace("unit", "busy") for name in LEFTOVERS), "unit"]
    )
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["unit"]


def test_checkpoints_of_a_finished_unit_are_swept_and_those_of_others_are_kept(tmp_path: Path) -> None:
    make_unit(tmp_path / "unit", write)
    for name in ("unit", "unfinished"):
        write(tmp_path / f"{name}.resume")  # killed after the unit was finished, or while it was made
    with lease(tmp_path / "unit.lease"):
        sweep(tmp_path)
    assert (tmp_path / "unit.resume").exists()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["unfinished.resume", "unit"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    for name in (*LEFTOVERS, ".unit.any"):
        write(tmp_path / name)
    make_unit(tmp_path / "unit", write)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [".unit.any", "unit"]


def test_a_process_that_was_taken_for_dead_leaves_what_its_successor_has_made(tmp_path: Path) -> None:
    unit = tmp_path / "unit"

    def slow(folder: Path) -> None:
        write(folder, text="mine")
        (holder,) = unit.with_suffix(".lease").iterdir()
        holder.rename(holder.with_name("ffffffffffff-1-1.00-0"))  # on another machine
        write(unit, text="theirs")
        take_inventory(unit, unit.with_suffix(".files"))

    make_unit(unit, slow)
    assert (unit / "a.txt").read_text() == "theirs" and is_finished(unit)
    assert not list(tmp_path.glob(".*"))
    assert len(list(unit.with_suffix(".lease").iterdir())) == 1  # the successor's, to release


def test_leases_of_killed_processes_are_swept(tmp_path: Path) -> None:
    dead = tmp_path / "unit.lease" / f"{machine()}-{os.getpid()}-1.00-0"  # a process long before this one
    alive = tmp_path / "busy.lease" / "ffffffffffff-1-1.00-0"  # on another machine, as far as a glance can tell
    for file in (dead, alive):
        write(file.parent, file.name)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["busy.lease"]
