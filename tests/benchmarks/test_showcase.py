from pathlib import Path

import cv2
import numpy as np
from pycocotools.coco import COCO

from benchmarks.showcase import show


def test_a_column_per_image(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((16, 16, 3), np.uint8))
    annotations = COCO()
    annotations.dataset = {
        "images": [{"id": 1, "file_name": "one.png", "width": 16, "height": 16}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "segmentation": [[4, 4, 12, 4, 12, 12, 4, 12]]}],
        "categories": [{"id": 7, "name": "car"}],
    }
    annotations.createIndex()
    widths = []
    for columns in (1, 3):
        show([("one.png", "a car")] * columns, annotations, tmp_path, tmp_path / "out.png")
        widths.append(cv2.imread(str(tmp_path / "out.png")).shape[1])
    assert widths[1] == 3 * widths[0]
