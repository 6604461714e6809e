"""What a record of an annotation file has to hold, and what is said of one that does not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasetdm.errors import DatasetDMError

_KINDS = {int: "a whole number", str: "text", list: "a list", dict: "a record"}


def checked_value(file: Path, what: str, record: Any, key: str, kind: type) -> Any:
    """`record[key]`, which must be of exactly this type (a boolean is not a number); `what` the record is.

    Raises:
        DatasetDMError: it is not, or it is missing, or the record is none.
    """
    if not isinstance(record, dict):
        raise bad_record(file, name_of(record, what), "is not a record")
    if key not in record:
        raise bad_record(file, name_of(record, what), f"has no '{key}'")
    if type(record[key]) is not kind:
        found = f"has the '{key}' {shortened(record[key])}, which is not {_KINDS[kind]}"
        raise bad_record(file, name_of(record, what), found)
    return record[key]


def check_unique(file: Path, what: str, values: Sequence[Any]) -> None:
    """Raise DatasetDMError if a value is used twice; `what` the values are."""
    if len(set(values)) == len(values):
        return
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DatasetDMError(
                f"{file}: the {what} {value!r} is used twice. If several files were merged, renumber the "
                "entries; otherwise remove one of the two."
            )
        seen.add(value)


def name_of(record: Any, what: str) -> str:
    """How a message calls a record: `annotation 17`."""
    if not isinstance(record, dict):
        return f"{what} {shortened(record)}"
    return f"{what} {shortened(record['id'])}" if "id" in record else f"{what} without id"


def shortened(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def bad_record(file: Path, name: str, what: str, remedy: str = "Correct or remove that entry.") -> DatasetDMError:
    """The error that a record of this name gives; `what` is wrong with it."""
    return DatasetDMError(f"{file}: {name} {what}. {remedy}")
