"""Prompts from a folder of text files, in the layout of the released code: `<category>.txt`, `general.txt`."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mixture import Line

GENERAL = "general"  # the file of prompts that belong to no category
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class PromptFiles:
    """What a folder of prompts holds.

    Attributes:
        lines: name of the category, or `GENERAL`, -> its prompts in file order, each once.
        remarks: what was left out or is odd, a sentence each.
    """

    lines: dict[str, list[Line]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def load_prompt_files(
    folder: Path,
    categories: Sequence[Category],
    mentioned: Callable[[str], Sequence[str]],
    left_out: Sequence[str] = (),
) -> PromptFiles:
    """Read a folder with a text file per category, a prompt a line.

    A file is named after its category, in any case, with underscores or blanks. The prompts of `general.txt` show what
    they mention, which may be nothing. Those of a category's file show that category, too.

    Args:
        folder: the folder; files that do not end in `.txt` are skipped.
        categories: what prompts may name.
        mentioned: the names of the categories that a text mentions.
        left_out: names of those whose files are skipped.

    Raises:
        DatasetDMError: the folder is missing or has no prompts, a file is named after no category, two files are named
            after one, or a file is not UTF-8; all at once.
    """
    if not folder.is_dir():
        raise DatasetDMError(
            f"{folder} (prompts.files) is not a folder: name one that has <category>.txt files, a prompt a line."
        )
    name_of = {_key(name): category.name for category in categories for name in (category.name, category.noun)}
    name_of.setdefault(GENERAL, GENERAL)
    found = PromptFiles()
    problems: list[str] = []
    owner: dict[str, str] = {}  # name -> its file
    for file in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        name = name_of.get(_key(file.stem))
        if not file.is_file() or file.suffix.lower() != ".txt":
            found.remarks.append(f"{file} is skipped: prompts are in files that end in .txt")
        elif name is None:
            problems.append(f"{file.name} is named after no category{_meant(file.stem, name_of)}")
        elif name in owner:
            problems.append(f"{file.name} and {owner[name]} are named after the same category")
        elif name in left_out:
            found.remarks.append(f"{file} is skipped: no labelled image shows the category")
        else:
            owner[name] = file.name
            try:
                texts = _texts(file)
            except UnicodeDecodeError:
                problems.append(f"{file.name} is not UTF-8 text")
                continue
            if not texts:
                found.remarks.append(f"{file} is empty")
                continue
            names = {text: mentioned(text) for text in texts}
            own = () if name == GENERAL else (name,)
            found.lines[name] = [
                Line(text=text, categories=tuple(dict.fromkeys((*own, *names[text])))) for text in texts
            ]
            if own and (without := [text for text in texts if name not in names[text]]):
                found.remarks.append(
                    f"{file.name}: {len(without)} of {len(texts)} prompts do not name {name}, such as '{without[0]}'. "
                    "They count as prompts for it"
                )
    if problems:
        shown = problems[:_SHOWN] + ([f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])
        raise DatasetDMError(
            f"{folder} (prompts.files): {'; '.join(shown)}. Rename or remove these files, or save them as UTF-8."
        )
    if not found.lines:
        raise DatasetDMError(
            f"{folder} (prompts.files) has no prompts: it needs <category>.txt or {GENERAL}.txt, a prompt a line."
        )
    return found


def _texts(file: Path) -> list[str]:
    """The prompts of a file, each once, without outer blanks."""
    lines = (" ".join(line.split()) for line in file.read_text(encoding="utf-8-sig").splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def _key(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _meant(stem: str, name_of: dict[str, str]) -> str:
    close = difflib.get_close_matches(_key(stem), name_of, n=1)
    return f" (did you mean {name_of[close[0]]}?)" if close else ""
