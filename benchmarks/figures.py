"""Files of figures that grow: a study of many hours is run seed by seed, and every run adds what it has measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.made_with import write_result
from datasetdm.errors import DatasetDMError
from datasetdm.reports.contrasts import paired_difference
from datasetdm.task_parts import Metric
from datasetdm.utils.files import read_json


def add_figures(file: Path, settings: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Write what was measured into a file, next to what earlier runs with the same settings have measured.

    Args:
        file: JSON; it need not exist.
        settings: what all figures in the file have in common.
        measured: nested mappings, such as variant -> seed -> figure; a figure that the file already has is replaced.

    Returns:
        All that the file holds now, without the settings.

    Raises:
        DatasetDMError: the file holds figures of other settings.
    """
    settings = dict(settings)
    known = read_json(file, remedy="Remove it.") if file.exists() else {"settings": settings, "measured": {}}
    if known["settings"] != settings:
        other = sorted(
            name for name in {*settings, *known["settings"]} if settings.get(name) != known["settings"].get(name)
        )
        raise DatasetDMError(f"{file} holds figures of another {', '.join(other)}: choose another file with --out.")
    merged: dict[str, Any] = _merge(known["measured"], measured)
    if measured:  # a run that has only looked is not recorded
        write_result(file, {"settings": settings, "measured": merged}, adds=True)
    return merged


def difference_text(metric: Metric, one: Mapping[str, float], other: Mapping[str, float]) -> str:
    """The paired difference of two mappings of seed -> value with its interval; `-` where they share no seed."""
    found = paired_difference(one, other)
    if found is None:
        return "-"
    interval = found["interval"]
    return metric.signed(found["mean"]) + (f" ({', '.join(map(metric.signed, interval))})" if interval else "")


def _merge(known: Any, new: Any) -> Any:
    if not isinstance(known, Mapping) or not isinstance(new, Mapping):
        return new
    return {**known, **{key: _merge(known.get(key), value) for key, value in new.items()}}
