"""A stage's report as Dagster shows it: numbers, tables and pictures."""

import base64
import io
import math
from pathlib import Path

from dagster import MetadataValue
from PIL import Image

from datasetdm.pipeline.engine.result import StageResult
from datasetdm.utils.images import read_image

# Pictures are kept in Dagster's event log: small ones only, the files themselves lie in the output.
LONGEST_SIDE = 640
MOST_PICTURES = 6


def describe(result: StageResult, output: Path, md5: str) -> dict[str, MetadataValue]:
    """Metadata of a published output.

    Args:
        result: the stage's report; its pictures are image files.
        output: the published path.
        md5: DVC's hash of it.
    """
    metadata: dict[str, MetadataValue] = {
        "path": MetadataValue.path(output),
        "dvc_md5": MetadataValue.text(md5),
    }
    metadata |= {name: _number(value) for name, value in result.metrics.items()}
    metadata |= {title: MetadataValue.md(table) for title, table in result.tables.items()}
    metadata |= {Path(file).stem: MetadataValue.md(_inline(file)) for file in result.pictures[:MOST_PICTURES]}
    return metadata


def _number(value: float) -> MetadataValue:
    """A number that can be plotted over materialisations; text where there is none (no test object)."""
    return MetadataValue.float(float(value)) if math.isfinite(value) else MetadataValue.text(str(value))


def _inline(file: str) -> str:
    """A picture as Markdown that carries the pixels along."""
    small = Image.fromarray(read_image(Path(file)))
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return f"![{Path(file).stem}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
