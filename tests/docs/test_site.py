"""The site builds without a warning, has every page, and asks nothing of the internet."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[2]
#: What a browser fetches by itself: images, scripts, styles and fonts.
_FETCHED = re.compile(r'<(?:script|img|iframe|source)[^>]* src="(https?:[^"]+)"|<link[^>]* href="(https?:[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and not done.stderr, done.stderr + done.stdout
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")} | {"index", "results"}
    assert pages <= {file.stem for file in site.glob("*.html")}


def test_nothing_is_fetched_from_the_internet(site: Path) -> None:
    for file in site.glob("*.html"):
        assert not _FETCHED.findall(file.read_text(encoding="utf-8")), file.name
    assert "url(http" not in "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))


def test_the_reference_of_python_has_its_docstrings(site: Path) -> None:
    page = (site / "python.html").read_text(encoding="utf-8")
    for name in re.findall(r"^::: ([\w.]+)", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert f'id="{name}"' in page
    assert "there is no such model, its files cannot be used" in page


def test_the_start_page_is_the_readme(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "What you gain" in page and 'href="how-it-works.html"' in page and 'src="images/labelled.png"' in page


def test_every_line_of_the_navigation_is_a_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"^ *- .*: ([\w-]+\.md)$", text, re.MULTILINE))
    assert named - {"index.md", "results.md"} == {file.name for file in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["theme"]["font"] is False
