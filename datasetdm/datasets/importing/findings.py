"""What is odd about an export, counted, with examples."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Literal

from datasetdm.errors import DatasetDMError

Loss = Literal["image", "object"]
_SHOWN = 3
_LONGEST = 80


class Findings:
    """Collects what readers and checks find, so that a person reads everything at once.

    A *problem* stops the import. An *oddity* is something that was left out, corrected or kept, and is counted.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._counts: Counter[str] = Counter()
        self._examples: defaultdict[str, list[str]] = defaultdict(list)
        self._lost: dict[Loss, Counter[str]] = {"image": Counter(), "object": Counter()}

    def problem(self, text: str) -> None:
        """Note something that the import cannot do without; it names the file, the cause and the remedy."""
        self.problems.append(text)

    def odd(self, what: str, where: str, *, lost: Loss | None = None, count: int = 1) -> None:
        """Count an oddity.

        Args:
            what: the kind, with what became of it: "images are listed but missing: left out".
            where: an example.
            lost: whether an image or an object is left out because of it.
            count: how many.
        """
        self._counts[what] += count
        if len(self._examples[what]) < _SHOWN and where and where not in self._examples[what]:
            self._examples[what].append(where if len(where) <= _LONGEST else f"...{where[3 - _LONGEST :]}")
        if lost:
            self._lost[lost][what] += count

    def lost(self, kind: Loss) -> int:
        """How many images or objects are left out."""
        return self._lost[kind].total()

    def count(self, what: str) -> int:
        """How often an oddity was found."""
        return self._counts[what]

    def lines(self) -> Iterator[str]:
        """One line per kind of oddity, those that lose something first."""
        losing = {*self._lost["image"], *self._lost["object"]}
        for what in sorted(self._counts, key=lambda kind: (kind not in losing, -self._counts[kind])):
            examples = self._examples[what]
            more = ", ..." if self._counts[what] > len(examples) else ""
            yield f"{self._counts[what]:>6} × {what}" + (f" ({', '.join(examples)}{more})" if examples else "")

    def raise_problems(self) -> None:
        """Raise a DatasetDMError with all problems, and with the oddities that may explain them; none: return."""
        if not self.problems:
            return
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"The import stops at {count}; nothing was written.", *(f"- {text}" for text in self.problems)]
        if self._counts:
            lines += ["Also found:", *self.lines()]
        raise DatasetDMError("\n  ".join(lines))
