"""Commands to look at images: a preview before the long run, and the report or FiftyOne after it."""

import argparse
import webbrowser
from typing import Any

from datasetdm.cli.options import add_command, open_published, positive, require_project


def add_commands(commands: Any) -> None:
    """Add the commands to the parser."""
    preview = add_command(
        commands,
        "preview",
        _preview,
        help="draw and label some images with the trained decoder, before the long run",
        as_json=False,
    )
    preview.add_argument("--n", type=positive, default=16, help="images to draw (default: 16)")
    view = add_command(
        commands,
        "view",
        _view,
        help="say where the report is, or open the synthetic set in FiftyOne",
        as_json=False,
    )
    view.add_argument("--open", action="store_true", help="open the report in the browser")
    view.add_argument("--fiftyone", action="store_true", help="open the synthetic set in FiftyOne, until Ctrl-C")


def _preview(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.preview import PAGE, SHEET, make_preview

    made = make_preview(open_context(options.benchmark, study=options.study), options.n)
    print(made.text)
    print(f"contact sheet   {made.folder / SHEET}\nwith prompts    {made.folder / PAGE}")


def _view(options: argparse.Namespace) -> None:
    require_project()
    from datasetdm.pipeline.context import missing

    context = open_published(options.benchmark, study=options.study)
    if options.fiftyone:
        from datasetdm.pipeline.fiftyone_view import open_in_fiftyone

        open_in_fiftyone(context)
        return
    page = context.paths.reports / "index.html"
    if not page.exists():
        raise missing(context, page, "compare")
    print(page)
    if options.open:
        webbrowser.open(page.resolve().as_uri())
