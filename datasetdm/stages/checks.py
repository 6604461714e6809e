"""Outputs are checked before they are published."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from datasetdm.formats.files import replacing
from datasetdm.stages.context import Context

if TYPE_CHECKING:
    from datasetdm.stages.stage import Stage


@contextmanager
def publish_checked(context: Context, stage: "Stage", output: Path) -> Iterator[Path]:
    """A temporary folder that is published as `output` once all checks of the stage hold of it."""
    with replacing(output) as folder:
        folder.mkdir()
        yield folder
        for check in stage.checks:
            check.run(context, folder)
