"""The prompts as a table that people may edit: `id,prompt,categories,kind`, categories joined by ';'.

Lines of a language model also have `model,instruction,date`, which nothing but people reads.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mixture import PROVENANCE
from datasetdm.prompts.templates import COLUMNS


def encode_prompts(frame: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8; the same rows give the same bytes. Extra columns say which model wrote a line."""
    columns = [*COLUMNS, *(name for name in PROVENANCE if name in frame)]
    return frame[columns].to_csv(index=False, lineterminator="\n").encode()


def load_prompts(path: Path, categories: Sequence[Category]) -> pd.DataFrame:
    """Read the table and check it for editing mistakes.

    Other columns are ignored. A prompt may name no category: its image should show none.

    Returns:
        Columns `id` (int64), `prompt`, `categories`, `kind`, in file order, texts without outer blanks.

    Raises:
        DatasetDMError: missing or broken file, missing column, wrong or duplicate id, empty prompt, unknown or
            repeated category. It names the line.
    """
    known = {category.name for category in categories}
    first_line_of: dict[int, int] = {}
    rows = []
    for line, record in _read(path):
        identity = record["id"]
        if not (identity.isascii() and identity.isdigit() and len(identity) < 19):
            raise _bad(path, line, f"the id {identity!r} is not a whole number", "Number the prompts 0, 1, 2, ...")
        number = int(identity)
        if number in first_line_of:
            raise _bad(path, line, f"the id {number} stands in line {first_line_of[number]} already", "Change one.")
        first_line_of[number] = line
        if not record["prompt"]:
            raise _bad(path, line, "the prompt is empty", "Write one, or remove the line.")
        names = [name.strip() for name in record["categories"].split(";")] if record["categories"] else []
        for name in names:
            if name not in known:
                raise _bad(path, line, f"the category {name!r} is unknown", f"Known are: {', '.join(sorted(known))}.")
        if len(set(names)) < len(names):
            raise _bad(path, line, "a category is listed twice", "Once is enough, however many objects there are.")
        rows.append((number, record["prompt"], ";".join(names), record["kind"]))
    if not rows:
        raise DatasetDMError(f"{path} has no prompts. Remove the file and run the stage write_prompts again.")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _read(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and stripped texts of each record; empty lines are skipped."""
    records = []
    try:
        # A spreadsheet may put a byte-order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for column in COLUMNS:
                if header.count(column) != 1:
                    found = ", ".join(header)[:80] or "nothing"
                    remedy = f"The first line must name {', '.join(COLUMNS)}, with commas between (found: {found})."
                    raise _bad(path, 1, f"there is not one column '{column}'", remedy)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != len(header):
                    what = f"there are {len(fields)} values for {len(header)} columns"
                    raise _bad(path, reader.line_num, what, 'A prompt with commas goes in quotes: "a dog, a car".')
                texts = {name: " ".join(field.split()) for name, field in zip(header, fields, strict=True)}
                records.append((reader.line_num, texts))
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing: write it with the stage write_prompts.") from None
    except OSError as error:
        raise DatasetDMError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"{path} is not UTF-8: save it as 'CSV UTF-8' in the spreadsheet program.") from None
    except csv.Error as error:
        raise _bad(path, reader.line_num, f"broken CSV ({error})", "Check the quotes of that line.") from None
    return records


def _bad(path: Path, line: int, what: str, remedy: str) -> DatasetDMError:
    return DatasetDMError(f"{path}, line {line}: {what}. {remedy}")
