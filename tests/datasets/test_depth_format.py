from pathlib import Path

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.formats import StandardFormat, standard_format
from datasetdm.errors import DatasetDMError
from tests.annotations.test_depth_map import CATEGORIES, SIZE, random_depth

FORMAT = standard_format(config.DepthAnnotation(), CATEGORIES)
STREET = standard_format(config.DepthAnnotation(max_depth=80), (Category(id=1, name="street"),))


def samples() -> list[Sample]:
    return [
        Sample(
            name=f"{number}.png",
            image=np.full((*SIZE, 3), number, np.uint8),
            caption="a photo of an office",
            target=random_depth(number),
            image_id=number,
        )
        for number in (4, 2)
    ]


@pytest.mark.parametrize(("files", "unit"), [(FORMAT, 1e-3), (STREET, 1 / 256)])
def test_files_come_back(files: StandardFormat, unit: float, tmp_path: Path) -> None:
    files.save(tmp_path, "test", samples())
    read = files.load(tmp_path, "test")
    for before, after in zip(samples(), read, strict=True):
        assert (after.name, after.caption, after.image_id) == (before.name, before.caption, before.image_id)
        np.testing.assert_array_equal(after.target.valid_mask, before.target.valid_mask)
        np.testing.assert_allclose(after.target.depth, before.target.depth, atol=unit / 2 + 1e-6)
    known = sum(int(sample.target.valid_mask.sum()) for sample in samples())
    assert files.check(tmp_path, "test") == {"images": 2, "known_pixels": known}


def test_other_categories_and_maps_without_depth_are_refused(tmp_path: Path) -> None:
    FORMAT.save(tmp_path, "test", samples())
    with pytest.raises(DatasetDMError, match="other categories"):
        standard_format(config.DepthAnnotation(), CATEGORIES[:1]).load(tmp_path, "test")
    far = DepthMap(depth=np.full(SIZE, 40, np.float32), valid_mask=np.ones(SIZE, dtype=bool))
    FORMAT.save(
        tmp_path,
        "far",
        [Sample(name="far.png", image=np.zeros((*SIZE, 3), np.uint8), caption="", target=far)],
    )
    with pytest.raises(DatasetDMError, match=r"far\.png holds nothing between"):
        FORMAT.check(tmp_path, "far")
