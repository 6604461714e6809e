"""A stage's report as Dagster shows it: picture, tables, rounded numbers, links, files.

Dagster shows Markdown in place only if it has fewer than 1000 characters; longer texts wait behind a button. So the
first picture comes from MLflow's server, by its address; all pictures are also kept in Dagster, behind a button each.
"""

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
DIGITS = 4  # significant ones of a number
EMPTY = "Empty on purpose"


def describe(result: StageResult, output: Path, md5: str | None = None) -> dict[str, MetadataValue]:
    """Metadata of a published output, in the order in which a person wants it.

    Args:
        result: the stage's report; its pictures are image files.
        output: the published path.
        md5: DVC's hash of it; None: DVC does not know it.
    """
    metadata: dict[str, MetadataValue] = {}
    if result.empty:
        metadata[EMPTY] = MetadataValue.text(result.empty)
    if result.shown_at:
        name = Path(result.pictures[0]).stem
        metadata["Picture"] = MetadataValue.md(
            f"![{name}; MLflow's server, which `make ui` starts, has it]({result.shown_at})"
        )
    metadata |= {title: MetadataValue.md(table) for title, table in result.tables.items()}
    metadata |= {name: _number(value) for name, value in result.metrics.items()}
    metadata |= {title: MetadataValue.url(address) for title, address in result.links.items()}
    metadata["path"] = MetadataValue.path(output)
    if md5 is not None:
        metadata["dvc_md5"] = MetadataValue.text(md5)
    metadata |= {Path(file).stem: MetadataValue.md(_inline(file)) for file in result.pictures[:MOST_PICTURES]}
    return metadata


def _number(value: float) -> MetadataValue:
    """A number that can be plotted over materialisations; text where there is none (no test object)."""
    if not math.isfinite(value):
        return MetadataValue.text(str(value))
    return MetadataValue.int(int(value)) if value == int(value) else MetadataValue.float(_rounded(float(value)))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _inline(file: str) -> str:
    """A picture as Markdown that carries the pixels along."""
    small = Image.fromarray(read_image(Path(file)))
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return f"![{Path(file).stem}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
