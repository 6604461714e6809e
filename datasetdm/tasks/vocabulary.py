"""The classes of an open vocabulary."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """The classes that the decoder can be asked for, each by its name.

    Attributes:
        words: their names.
        labels: their positions among the words whose attention is read (`Task.words`).
        seen: those of the labels that training may ask for.
    """

    words: tuple[str, ...]
    labels: tuple[int, ...]
    seen: tuple[int, ...]
