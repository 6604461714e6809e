"""Cards of data sets and models as the Hugging Face Hub has them: metadata in YAML, and Markdown."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from huggingface_hub import CardData

from datasetdm.reports.comparison import shown_metrics, table
from datasetdm.reports.contrasts import contrast_lines
from datasetdm.reports.html import page_environment
from datasetdm.reports.verdict import verdict
from datasetdm.task_parts import METRICS

#: The Hub's classes of size, and the number of rows below which each applies.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


def size_category(count: int) -> str:
    """The Hub's name for a data set of so many rows."""
    return next((name for limit, name in _SIZES.items() if count < limit), "n>1M")


def render_card(template: str, data: CardData, **values: Any) -> str:
    """The text of a README.md.

    Args:
        template: `dataset_card.md` or `model_card.md`.
        data: the metadata.
        values: what the template needs; `comparison_values` has those of its figures.
    """
    environment = page_environment()
    environment.lstrip_blocks = True
    text = environment.get_template(template).render(**values)
    return f"---\n{data.to_yaml()}\n---\n\n{_without_gaps(text)}\n"


def comparison_values(
    metrics: Mapping[str, Any], arms: Mapping[str, str] = MappingProxyType({}), own_figures: str = ""
) -> dict[str, Any]:
    """What `card_figures.md` needs.

    Args:
        metrics: the content of `metrics.json`; empty if no comparison was run.
        arms: what each row of the table was trained on.
        own_figures: of a model, as Markdown.
    """
    if not metrics:
        return {"own_figures": own_figures, "table": ""}
    return {
        "own_figures": own_figures,
        "table": table(metrics).rstrip(),
        "verdict": verdict(metrics).sentence,
        "contrasts": contrast_lines(metrics),
        "arms": arms,
        "metrics": {METRICS[name].title: METRICS[name].explanation for name in shown_metrics(metrics)},
    }


def _without_gaps(text: str) -> str:
    """The text with at most one empty line at a time; what a template leaves out leaves several."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines)
