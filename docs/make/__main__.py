"""`python -m docs.make` writes the generated pages. A test fails if one of them is out of date."""

from pathlib import Path

from docs.make.commands import commands_page
from docs.make.settings import settings_page

DOCS = Path(__file__).parents[1]
PAGES = {"settings.md": settings_page, "commands.md": commands_page}


def main() -> None:
    """Write every generated page into `docs/`."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
