"""The units that a stage consists of: computed once, kept until the stage has published."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasetdm.pipeline.engine.units import is_finished


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of a stage's work that is made as a whole, or not at all.

    Attributes:
        key: its name within the stage, such as `shard_00003` or `both/0`.
        folders: what it makes: one folder, seldom several, each named by a digest of all that it depends on.
        payload: whatever the stage needs to make it.
    """

    key: str
    folders: tuple[Path, ...]
    payload: Any = None

    @property
    def folder(self) -> Path:
        """The folder of a unit that makes one."""
        (folder,) = self.folders
        return folder

    def is_finished(self) -> bool:
        """Whether all its folders are there and undamaged."""
        return all(map(is_finished, self.folders))


class Plan:
    """The units of a stage, made or not, in the order in which they are made and published."""

    def __init__(self, units: Iterable[Unit] = ()) -> None:
        self._units = {unit.key: unit for unit in units}

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units.values())

    def __len__(self) -> int:
        return len(self._units)

    def __getitem__(self, key: str) -> Unit:
        return self._units[key]

    @property
    def folders(self) -> list[Path]:
        """The folders of all units."""
        return [folder for unit in self for folder in unit.folders]

    def missing(self) -> list[str]:
        """The keys of the units that are missing or damaged now."""
        return [unit.key for unit in self if not unit.is_finished()]
