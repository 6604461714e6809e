"""The blocks of code in README.md and docs/: what each is, and what it needs that a test has not."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "benchmarks/results/README.md",
    *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")),
)
#: What `<!-- needs: ... -->` before a block may name.
NEEDS = ("cluster", "docker", "gpu", "network", "server")
PROGRAMS = (
    "make",
    "datasetdm",
    "python",
    "dvc",
    "dagster",
    "docker",
    "mlflow",
    "cp",
    "export",
    "echo",
    "hf",
    "pip",
    "npm",
    "curl",
    "dagster-webserver",
    "dagster-daemon",
    "createuser",
    "createdb",
    "pg_dump",
    "pg_restore",
    "ray",
)
_SHELL = re.compile(rf"(\$ )?([A-Z_]+=\S+ )*(\.venv/bin/)?({'|'.join(PROGRAMS)})(?=\s|$)")
_PYTHON = re.compile(r"(def|class|import|from|@\w|[A-Z_]+ = |\"\w+\": [\w\"])")
_NEEDS = re.compile(r"<!-- needs: (\w+) -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: path in the repository.
        line: number of its first line.
        language: shell, python, yaml or text.
        text: without its indent.
        needs: of `NEEDS`, or empty.
    """

    page: str
    line: int
    language: str
    text: str
    needs: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """All blocks of all pages."""
    for page in PAGES:
        needs = ""
        for token in MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8")):
            if token.type == "html_block":
                found = _NEEDS.search(token.content)
                needs = found[1] if found else ""
            elif token.type in ("fence", "code_block"):
                assert token.map
                yield Block(page, token.map[0] + 1, language(token.info.strip(), token.content), token.content, needs)
                needs = ""


def language(named: str, text: str) -> str:
    """What a block is written in; a fence may say it."""
    if named:
        return {"sh": "shell", "bash": "shell", "console": "shell"}.get(named, named)
    first = text.lstrip().splitlines()[0]
    if _SHELL.match(first):
        return "shell"
    if _PYTHON.match(first):
        return "python"
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return "text"
    return (
        "yaml" if isinstance(content, dict) and all(re.fullmatch(r"[a-z_]+", str(key)) for key in content) else "text"
    )


def commands(block: Block) -> Iterator[list[str]]:
    """The simple commands of a shell block as lists of words, without assignments, redirections and comments.

    In a block with `$` in front of commands, the other lines are output.
    """
    lines = block.text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in "\n".join(lines).replace("|\n", "| ").splitlines():
        reader = shlex.shlex(re.sub(r"<(\w+)>", r"\1", line), posix=True, punctuation_chars="|&;")
        reader.whitespace_split = True
        command: list[str] = []
        for word in [*reader, ";"]:
            if set(word) <= set("|&;"):
                if command := _without_redirections(command):
                    yield command
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)


def _without_redirections(command: list[str]) -> list[str]:
    ends = [number for number, word in enumerate(command) if word in (">", ">>", "<")]
    return command[: ends[0]] if ends else command
