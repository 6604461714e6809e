"""The classes of an open vocabulary."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """The classes that can be asked for by name.

    Attributes:
        words: their names.
        labels: their positions among the words whose attention is read (`Task.words`).
        seen: those of the labels that training may ask for.
    """

    words: tuple[str, ...]
    labels: tuple[int, ...]
    seen: tuple[int, ...]
