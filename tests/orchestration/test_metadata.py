"""What an asset's page shows, and in which order."""

from pathlib import Path

from PIL import Image

from datasetdm.pipeline.engine.result import StageResult
from orchestration.metadata import EMPTY, describe

SHOWN_IN_PLACE = 1000  # characters of Markdown


def test_picture_tables_rounded_numbers_and_links_in_this_order(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), "navy").save(tmp_path / "arms.png")
    result = StageResult(
        metrics={"mask_ap": 0.17893456789012345, "images": 208.0, "loss": 12345.678, "none": float("nan")},
        pictures=[str(tmp_path / "arms.png")],
        tables={"Arms on test": "| arm |\n|---|\n| real |"},
        links={"MLflow run": "http://127.0.0.1:5000/#/run", "Report": "http://127.0.0.1:5000/#/report"},
        shown_at="http://127.0.0.1:5000/get-artifact?path=pictures/arms.png&run_uuid=1",
    )
    found = describe(result, tmp_path, "abc")
    numbers = ["mask_ap", "images", "loss", "none"]
    links = ["MLflow run", "Report", "path", "dvc_md5"]
    assert list(found) == ["Picture", "Arms on test", *numbers, *links, "arms"]
    values = {name: entry.value for name, entry in found.items()}
    assert [values[name] for name in numbers] == [0.1789, 208, 12350.0, "nan"]
    assert result.shown_at in values["Picture"] and len(values["Picture"]) < SHOWN_IN_PLACE


def test_what_is_empty_on_purpose_says_so_first(tmp_path: Path) -> None:
    found = describe(StageResult(empty="No arm needs it."), tmp_path, "abc")
    assert list(found) == [EMPTY, "path", "dvc_md5"] and found[EMPTY].value == "No arm needs it."
