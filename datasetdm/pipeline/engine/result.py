"""What a stage reports of its output."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage tells of itself: shown by the CLI, Dagster and MLflow alike.

    Attributes:
        metrics: plain numbers.
        pictures: files worth looking at.
        tables: title -> Markdown table.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
