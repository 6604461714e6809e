"""Markdown tables on a terminal: aligned, and as wide as the window."""

import sys
from collections.abc import Iterator
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def print_text(text: str) -> None:
    """Print Markdown: on a terminal with aligned tables, else as it is, so that a file or a program gets Markdown.

    rich heeds the width of the window. There are no colours, so NO_COLOR has nothing to switch off.
    """
    if not sys.stdout.isatty():
        print(text, end="")
        return
    console = Console(highlight=False, markup=False)
    for block in _blocks(text):
        console.print(block)


def _blocks(text: str) -> Iterator[str | Table]:
    """Tables, and the lines between them."""
    for is_table, lines in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            yield _table([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
        else:
            yield "\n".join(lines)


def _table(rows: list[list[str]]) -> Table:
    """A table of a heading, a row of dashes (`---:`: to the right), and cells."""
    heading, alignments, *cells = rows
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for title, alignment in zip(heading, alignments, strict=True):
        table.add_column(title, justify="right" if alignment.endswith(":") else "left")
    for row in cells:
        table.add_row(*row)
    return table
