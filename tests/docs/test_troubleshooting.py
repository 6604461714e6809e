"""docs/troubleshooting.md names messages that the code really has."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^- `([^`]+)` —", PAGE, re.MULTILINE)
GAP = "…"


def texts() -> list[str]:
    """All texts of the code as one line each; what is filled in is a gap."""
    folders = ("datasetdm", "scripts")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return [_text(node) for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"{[^{}]*}", GAP, node.value)  # of `str.format`
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return ""


@pytest.fixture(scope="module")
def known() -> str:
    return "\n".join(texts())


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 40 and len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_in_the_code(message: str, known: str) -> None:
    parts = [re.escape(part) for part in message.strip(GAP).split(GAP)]
    assert re.search("[^\n]*?".join(parts), known), message
