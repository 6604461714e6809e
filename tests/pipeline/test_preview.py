"""A preview shows the images that the set will begin with, and leaves the set alone."""

from pathlib import Path

import pandas as pd
import pytest

from datasetdm.cli import main
from datasetdm.utils.images import read_image

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
PREVIEW, SET = Path("data/preview/coco"), Path("data/synthetic/coco")


@pytest.mark.slow
def test_the_preview_is_the_beginning_of_the_set(project, capsys) -> None:
    project(MINIWORLD)
    assert main(["preview", "coco"]) == 2
    assert "datasetdm ingest coco" in capsys.readouterr().err
    assert main(["ingest", "coco"]) == 0
    assert main(["preview", "coco"]) == 2
    assert "datasetdm train_decoder coco" in capsys.readouterr().err

    assert main(["train_decoder", "coco"]) == 0
    before = sorted(Path("data").rglob("*"))
    capsys.readouterr()
    assert main(["preview", "coco", "--n", "3"]) == 0  # there is no table of prompts yet
    said = capsys.readouterr().out
    added = set(Path("data").rglob("*")) - set(before)
    assert {path.parts[1] for path in added} == {"preview"}
    shown = pd.read_parquet(PREVIEW / "manifest.parquet")
    assert f"{shown['accepted'].sum()} of 3 images are accepted" in said and "best score" in said
    assert read_image(PREVIEW / "sheet.png").shape[1] > 600 and "figures" in (PREVIEW / "index.html").read_text()

    assert main(["run", "coco", "--until", "synthesize"]) == 0
    manifest = pd.read_parquet(SET / "manifest.parquet").head(3)
    pd.testing.assert_frame_equal(shown, manifest[shown.columns])
    for row in manifest.itertuples():
        assert (read_image(PREVIEW / "images" / row.image) == read_image(SET / row.folder / row.image)).all()


def test_fiftyone_that_is_missing_is_named_with_the_remedy(project, monkeypatch, capsys) -> None:
    project(MINIWORLD)
    monkeypatch.setenv("DATASETDM_FIFTYONE", "no/such/python")
    assert main(["view", "coco", "--fiftyone"]) == 2
    assert "pip install fiftyone" in capsys.readouterr().err


def test_view_says_where_the_report_is(project, capsys) -> None:
    project(MINIWORLD)
    assert main(["view", "coco"]) == 2
    assert "datasetdm compare coco" in capsys.readouterr().err
    page = Path("data/reports/coco/index.html")
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    assert main(["view", "coco"]) == 0
    assert capsys.readouterr().out.strip() == str(page)
