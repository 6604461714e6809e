"""docs/extending.md, "An export format": a writer, and a line in `datasetdm/datasets/exporting/formats.py`."""

import csv
from pathlib import Path

import numpy as np
import pytest

from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS, Format, choose_format
from tests.datasets.exporting.conftest import CATEGORIES, contents_of, samples_of, source_set

BOX_TABLE = Format(
    title="a table of boxes (CSV)",
    tasks={"instance": "crowd regions, masks", "pose": "crowd regions, masks, keypoints"},
    writer="tests.extending.box_table:write_box_table",
)


def test_a_format_of_the_registry_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "box_table", BOX_TABLE)
    samples = samples_of("instance", 6)
    contents = contents_of("instance", source_set(tmp_path / "set", "instance", samples))
    lost = export(contents, choose_format("box_table", "instance").write, tmp_path / "out")
    with (tmp_path / "out" / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    targets = [sample.target.select(np.flatnonzero(~sample.target.crowd)) for sample in samples]
    labels = [label for target in targets for label in target.labels]
    assert [row["class"] for row in rows] == [CATEGORIES["instance"][label].name for label in labels]
    assert all((tmp_path / "out" / "train" / row["filename"]).is_file() for row in rows)
    assert lost.total() == sum(int(sample.target.crowd.sum()) for sample in samples) > 0
