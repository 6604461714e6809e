"""`benchmarks.adapted_pictures`: drawings without and with the LoRA of a benchmark (here, for the project fixture)."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import adapted_pictures
from datasetdm.cli import main
from datasetdm.utils.files import read_json

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


def test_three_rows_of_pictures_and_the_error(project, edit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project(MINIWORLD)
    monkeypatch.setattr(sys, "argv", ["", "coco", "--num-images", "2", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"benchmarks\.coco\.adapt in params\.yaml is not set"):
        adapted_pictures.main()
    edit("benchmarks.coco.adapt", {"steps": 1, "rank": 2, "batch_size": 2, "num_images": 3, "reading_scale": 0})
    assert main(["ingest", "coco"]) == 0
    with pytest.raises(SystemExit, match=r"lora\.safetensors is missing"):
        adapted_pictures.main()
    assert main(["adapt", "coco"]) == 0
    adapted_pictures.main()
    content = read_json(tmp_path / "out" / "coco.json", remedy="")
    assert content["figures"]["images"] == 3 and content["settings"]["steps"] == 1
    with Image.open(tmp_path / "out" / "coco.png") as picture:
        assert picture.height > 3 * 128 and picture.width > 2 * 128
