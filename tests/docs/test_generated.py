"""Pages that are generated are current, and every setting is explained."""

import re

import pytest

from docs.make.__main__ import DOCS, PAGES
from docs.make.settings import sections, undescribed


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), f"docs/{name} is old: run `python -m docs.make`"


def test_every_setting_is_explained() -> None:
    assert not undescribed()


def test_every_setting_stands_on_the_page() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    settings = [name for _, kind in sections() for name in kind.model_fields]
    assert len(settings) > 100 and all(f"| `{name}` |" in page for name in settings if name != "name")


def test_figures_are_readable_in_light_and_dark() -> None:
    for name in ("chain", "features", "labelling"):
        drawing = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8")
        assert "prefers-color-scheme: dark" in drawing and 'role="img"' in drawing
        assert not re.search(r'(?:href|src)="(?!data:)', drawing)
