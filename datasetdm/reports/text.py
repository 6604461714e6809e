"""A comparison as Markdown: `table.md`."""

from collections.abc import Mapping
from typing import Any

from datasetdm.reports.comparison import table
from datasetdm.reports.contrasts import contrast_lines
from datasetdm.reports.page import IID_TITLE


def comparison_text(metrics: Mapping[str, Any]) -> str:
    """The table, and below it the differences that matter; the same of the second test set, if there is one."""
    lines = "".join(f"- {line}\n" for line in contrast_lines(metrics))
    text = table(metrics) + (f"\n{lines}" if lines else "")
    return f"{text}\n{IID_TITLE}:\n\n{comparison_text(metrics['iid'])}" if "iid" in metrics else text
