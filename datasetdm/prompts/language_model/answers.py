"""The lines of an answer, whatever form it came in: lists with numbers or bullets, JSON, Markdown, one paragraph."""

import json
import re
from collections.abc import Iterator
from typing import Any

# Thoughts of reasoning models, and the fences of code.
_NOISE = re.compile(r"<think>.*?(?:</think>|\Z)|^\s*```\w*\s*$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(
    r"^\s*(?:[-*•–—·>+]+\s+|#+\s+|\(?\d{1,3}\s*[.):\]]\s*|\*{1,2}\s*\d{1,3}\s*[.):]\s*\*{0,2}\s*)+"  # bullet, number
)
_LABEL = re.compile(
    r"^\W*(?:description|caption|photo(?:graph)?|image|prompt|scene)\s*#?\s*\d*\s*:\W*\s", re.IGNORECASE
)
_NUMBERED_INLINE = re.compile(r"\s+(?=\(?\d{1,3}[.)]\s+[A-Z])")
_QUOTES = "\"'“”‘’«»„`*_ "


def lines_of(text: str, noun: str = "") -> list[str]:
    """The descriptions in an answer, without numbers, bullets, quotes and labels; nothing else is left out.

    Args:
        text: the answer.
        noun: what was asked for; a line "dog: two dogs ..." loses its label.
    """
    text = _NOISE.sub("", text)
    found = _from_json(text)
    if found is None:
        found = [part for line in text.splitlines() for part in _parts(line)]
    return [line for line in (_plain(part, noun) for part in found) if line]


def _parts(line: str) -> list[str]:
    """A line that numbers several descriptions, cut at the numbers."""
    return _NUMBERED_INLINE.split(line) if re.match(r"\s*\(?1[.)]\s", line) else [line]


def _plain(line: str, noun: str) -> str:
    line = " ".join(line.split())
    line = _LABEL.sub("", _MARK.sub("", line))
    if noun:
        line = re.sub(rf"^\W*{re.escape(noun)}\W*:\W*\s", "", line, flags=re.IGNORECASE)
    return line.strip(_QUOTES)


def _from_json(text: str) -> list[str] | None:
    """The texts of a JSON list or object in the answer; None if there is none."""
    for opening, closing in ("[]", "{}"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            try:
                content = json.loads(text[start : end + 1])
            except (ValueError, RecursionError):
                continue
            if texts := list(_texts(content)):
                return texts
    return None


def _texts(content: Any) -> Iterator[str]:
    """The texts in JSON; of a record the longest, which is the description and not its title."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for item in content:
            yield from _texts(item)
    elif isinstance(content, dict):
        texts = [value for value in content.values() if isinstance(value, str)]
        yield from [max(texts, key=len)] if texts else []
        for value in content.values():
            if not isinstance(value, str):
                yield from _texts(value)
