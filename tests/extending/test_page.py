"""docs/extending.md says how many files each extension takes, and lists as many."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
SECTIONS = re.findall(r"^## (An? [^\n:]+): (\d) files?\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
LIMITS = {"A detector": 1, "A data layout": 2, "A task": 4, "An arm": 1, "A family of diffusion models": 2}


@pytest.mark.parametrize(("title", "count", "text"), SECTIONS, ids=[title for title, *_ in SECTIONS])
def test_a_section_lists_as_many_files_as_its_heading_says(title: str, count: str, text: str) -> None:
    listed = [int(number) for number in re.findall(r"^(\d)\. ", text, re.MULTILINE)]
    assert listed == list(range(1, int(count) + 1))
    assert len(listed) <= LIMITS.get(title, len(listed))


def test_the_table_repeats_the_headings() -> None:
    table = dict(re.findall(r"^\| (an? [^|]+?) \| (\d) \|", PAGE, re.MULTILINE))
    said = {title.lower(): count for title, count, _ in SECTIONS}
    said["a segmentation, depth or pose model"] = said.pop("a segmentation or depth model of transformers")
    assert table == said
    assert {title.lower() for title in LIMITS} <= set(table)
