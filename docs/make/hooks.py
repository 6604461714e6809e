"""Pages of the site that stand elsewhere in the repository: the README is the start page.

mkdocs calls these functions by their names. All links are written so that they work on GitHub; here they are made fit
for the site.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
#: Page of the site -> file of the repository.
PAGES = {"index.md": "README.md", "results.md": "benchmarks/results/README.md"}


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The text of a page with links as the site has them: to its own pages, and by their titles."""
    source = Path(PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    to_root = "../" * (len(source.parts) - 1)
    for name, elsewhere in PAGES.items():
        markdown = markdown.replace(f"]({to_root}{elsewhere}", f"]({name}")
    titles = dict(_titles(config.nav))
    markdown = markdown.replace(f"]({to_root}docs/", "](")
    return re.sub(
        r"\[(?:docs/|benchmarks/)?([\w-]+\.md|results)\]\(([\w-]+\.md)",
        lambda link: f"[{titles.get(link[2], link[1])}]({link[2]}",
        markdown,
    )


def _titles(nav: Any) -> Iterator[tuple[str, str]]:
    """Page and title of every line of `nav`."""
    for entry in nav:
        for title, content in entry.items():
            if isinstance(content, str):
                yield content, title
            else:
                yield from _titles(content)
