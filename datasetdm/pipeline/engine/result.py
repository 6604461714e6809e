"""What a stage reports of its output."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The report of a stage, shown alike by the command line, Dagster and the experiment log.

    Attributes:
        metrics: plain numbers.
        pictures: files worth looking at.
        tables: title -> Markdown table.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
