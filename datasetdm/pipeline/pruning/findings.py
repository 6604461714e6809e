"""What a part of a project may lose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that may go.

    Attributes:
        name: what a person calls it: a folder, the id of a run.
        why: why nothing needs it, in a few words.
        size: the bytes that its removal frees; None: not known.
    """

    name: str
    why: str
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What one part may lose, and how.

    Attributes:
        part: its name, as `--only` has it.
        items: what may go.
        notes: what stays although it looks like something that might go, and what a person can do, in sentences.
        remove: removes the items; returns what could not be removed, in sentences.
    """

    part: str
    items: Sequence[Item] = ()
    notes: Sequence[str] = ()
    remove: Callable[[], list[str]] = list

    @property
    def size(self) -> int:
        """Bytes that are freed, as far as known."""
        return sum(item.size or 0 for item in self.items)
