"""Finished and begun units that no settings need any more: another model, other numbers, a benchmark that is gone."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.removal import is_busy, remove_work, work_in
from datasetdm.pipeline.engine.units import sweep
from datasetdm.pipeline.paths import DATA, STUDY_DATA, Paths
from datasetdm.pipeline.pruning.findings import Findings, Item
from datasetdm.pipeline.pruning.needed import Needed, kinds_of_work


def find_work(settings: Sequence[Params], studies: Sequence[Params], also: Iterable[str] = ()) -> Findings:
    """The units that may go.

    Args:
        settings: those whose work stays, first the present ones.
        studies: the same at study size.
        also: further kinds of work, such as `diagnose`, of which everything may go: it is made again when it is asked
            for.

    Raises:
        DatasetDMError: a process is making a unit now, or a kind is unknown.
    """
    items: dict[Path, Item] = {}
    notes: dict[str, None] = {}
    for data, kept, study in ((DATA, settings, False), (STUDY_DATA, studies, True)):
        root = Paths(data, "").work_root
        work = {folder.name: work_in(folder) for folder in sorted(root.glob("*")) if folder.is_dir()}
        _refuse_busy(unit for units in work.values() for unit in units)
        needed = Needed()
        if any(work[kind] for kind in kinds_of_work() if kind in work):  # models are loaded only to save something
            for params in kept:
                needed.add(params, study=study)
        stale, remarks = _stale(work, needed, set(also))
        items |= _items(stale, work)
        notes |= dict.fromkeys(remarks)
    _refuse_unknown(also)

    def remove() -> list[str]:
        for folder in {folder.parent for folder in items}:
            sweep(folder)
        busy = [folder for folder in items if not remove_work(folder)]
        return [f"{folder} stays: a process has begun to make it." for folder in busy]

    return Findings(part="work", items=list(items.values()), notes=list(notes), remove=remove)


def _refuse_busy(units: Iterable[Path]) -> None:
    """Settings may have changed since a running command read them: what it needs is not known."""
    for unit in units:
        if is_busy(unit):
            raise DatasetDMError(f"{unit} is being made now. Run prune again when that command has ended.")


def _refuse_unknown(also: Iterable[str]) -> None:
    if wrong := sorted(set(also) & set(kinds_of_work())):
        raise DatasetDMError(
            f"--also {wrong[0]}: that is work of a stage, of which prune finds by itself what is not needed."
        )


def _stale(
    work: dict[str, dict[Path, list[Path]]], needed: Needed, also: set[str]
) -> tuple[dict[Path, str], list[str]]:
    """The units that may go with the reason, and remarks on what stays."""
    stale: dict[Path, str] = {}
    remarks, others = [], {}
    for kind, units in work.items():
        if kind in also:
            stale |= dict.fromkeys(units, "asked for with --also")
        elif kind in needed.unknown:
            remarks.append(f"{kind}: all {len(units)} units stay. {needed.unknown[kind]}")
        elif kind in kinds_of_work():
            left = [unit for unit in units if unit.absolute() not in needed.folders]
            stale |= dict.fromkeys(left, "no settings name it")
        elif units:
            others[kind] = len(units)
    if others:
        listed = ", ".join(f"{kind} ({count})" for kind, count in others.items())
        remarks.append(f"Results of other commands stay: {listed}. --also NAME removes them; they are made again.")
    return stale, remarks


def _items(stale: dict[Path, str], work: dict[str, dict[Path, list[Path]]]) -> dict[Path, Item]:
    """With the bytes that the removal of each frees, if all others go, too."""
    paths = {unit: work[unit.parent.name][unit] for unit in stale}
    files = {unit: list(_files(there)) for unit, there in paths.items()}
    ours = Counter((status.st_dev, status.st_ino) for found in files.values() for status in found)
    counted: set[tuple[int, int]] = set()
    items = {}
    for unit, why in stale.items():
        size = 0
        for status in files[unit]:
            name = (status.st_dev, status.st_ino)
            # A file with a further link, such as a published image, stays on the disk.
            if ours[name] == status.st_nlink and name not in counted:
                size += status.st_size
                counted.add(name)
        items[unit] = Item(name=str(unit), why=why, size=size)
    return items


def _files(paths: Iterable[Path]) -> Iterable[os.stat_result]:
    for path in paths:
        if path.is_dir():
            yield from (file.lstat() for file in path.rglob("*") if not file.is_dir())
        elif path.exists():
            yield path.lstat()
