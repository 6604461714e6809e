"""Markdown that reads well on GitHub and on the site."""

from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def notice(source: str) -> str:
    """The first line of a generated page, which the reader does not see."""
    return f"<!-- Generated from {source} by `python -m docs.make`. Edit that instead. -->\n"


def _cell(text: str) -> str:
    """One line; `<name>` is text and not a tag, where it is not between backticks."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
