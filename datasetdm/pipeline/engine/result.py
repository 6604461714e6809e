"""What a stage reports of its output."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The report of a stage, shown alike by the command line, Dagster and the experiment log.

    Attributes:
        metrics: plain numbers.
        pictures: files worth looking at.
        tables: title -> Markdown table.
        links: title -> address of a page that says more, such as the run in the experiment log.
        shown_at: address of the first picture where a browser can load it; empty if no server has it.
        empty: why there is nothing in the output, where that is meant.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    shown_at: str = ""
    empty: str = ""
