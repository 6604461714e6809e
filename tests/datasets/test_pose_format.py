import json
from pathlib import Path

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from tests.annotations.test_persons import COUPLE, PERSON, SIZE, assert_same, people

FORMAT = standard_format(config.PoseAnnotation(), [PERSON])


def test_files_come_back(tmp_path: Path) -> None:
    samples = [
        Sample(
            name=f"{number}.png",
            image=np.random.default_rng(number).integers(0, 255, (*SIZE, 3), dtype=np.uint8),
            caption=f"picture {number}",
            target=people(*[(4, 6, 16, 36), (24, 4, 20, 40)][:number], seed=number),
            image_id=number + 1,
        )
        for number in range(3)
    ]
    FORMAT.save(tmp_path, "train", samples)
    for before, after in zip(samples, FORMAT.load(tmp_path, "train"), strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        assert_same(before.target, after.target, atol=0)
    assert FORMAT.check(tmp_path, "train") == {"images": 3, "persons": 3, "keypoints": 51}


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    FORMAT.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=COUPLE)])
    with pytest.raises(DatasetDMError, match="other categories"):
        standard_format(config.PoseAnnotation(), [Category(id=7, name="dog")]).load(tmp_path, "train")
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["keypoints"][0] = 70
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetDMError, match="nose outside the image"):
        FORMAT.check(tmp_path, "train")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetDMError, match=r"a\.png"):
        FORMAT.check(tmp_path, "train")
