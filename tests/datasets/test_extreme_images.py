"""Images that are very long or hold very many objects."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from datasetdm import config
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.ingestion.ingest import ingest


def _ingest(root: Path, out: Path) -> dict[str, int | float]:
    settings = config.Ingest(num_real=8, num_dev=6, num_oracle=10)
    return ingest(config.DataSource(format="coco", root=root), settings, config.InstanceAnnotation(), (0,), out)


@pytest.mark.parametrize(("size", "refused"), [((3000, 2), True), ((2, 3000), True), ((200, 8), False)])
def test_strips_that_training_could_not_take_are_told(
    native: Callable, edit_annotations: Callable, tmp_path: Path, size: tuple[int, int], refused: bool
) -> None:
    root = native()

    def squeeze(content: dict) -> None:
        for image in content["images"][:7]:
            Image.new("RGB", size, (int(image["id"]) % 256, 9, 9)).save(root / "val2017" / image["file_name"])
            image["width"], image["height"] = size
        ids = {image["id"] for image in content["images"][:7]}
        content["annotations"] = [record for record in content["annotations"] if record["image_id"] not in ids]

    edit_annotations(root, "val", squeeze)
    if not refused:
        assert _ingest(root, tmp_path / "out")["test_images"] == 12
        return
    says = rf"7 of the 12 .*0000\.png is {size[0]} x {size[1]} pixels: .* 25 to 1.*Cut it into pieces.* And 2 more"
    with pytest.raises(DatasetDMError, match=says):
        _ingest(root, tmp_path / "out")


def test_memory_holds_one_mask_at_a_time(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    """150 objects in an image of 1.2 megapixels would be 180 MB as an array."""
    root, out = native(), tmp_path / "out"
    width, height, count = 1200, 1000, 150

    def enlarge(content: dict) -> None:
        image = content["images"][0]
        Image.new("RGB", (width, height), (7, 80, 9)).save(root / "val2017" / image["file_name"])
        image["width"], image["height"] = width, height
        content["annotations"] = [item for item in content["annotations"] if item["image_id"] != image["id"]]
        for number in range(count):
            left, top = 10 + 7 * number, 20 + 5 * number
            box = [left, top, left + 90, top, left + 90, top + 60, left, top + 60]
            record = {"id": 1000 + number, "image_id": image["id"], "category_id": 3, "segmentation": [box]}
            content["annotations"].append(record)

    edit_annotations(root, "val", enlarge)
    tracemalloc.start()
    try:
        _ingest(root, out)
        files = standard_format(
            config.InstanceAnnotation(), load_coco(out / "annotations/test.json", out / "images").categories
        )
        assert files.check(out, "test")["objects"] == count + 14
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * width * height
