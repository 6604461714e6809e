from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from tests.annotations.test_semantic_map import CATEGORIES, LABELS, SIZE, assert_same, scene

FORMAT = standard_format(config.SemanticAnnotation(), CATEGORIES)


@given(st.lists(hnp.arrays(np.uint8, (6, 8), elements=LABELS), max_size=3))
@settings(max_examples=15, deadline=None)
def test_files_come_back(maps: list[np.ndarray]) -> None:
    samples = [
        Sample(
            name=f"{number}.png",
            image=np.full((6, 8, 3), number, dtype=np.uint8),
            caption=f"picture {number}",
            target=SemanticMap.of(labels),
            image_id=number + 1,
        )
        for number, labels in enumerate(maps)
    ]
    with TemporaryDirectory() as folder:
        FORMAT.save(Path(folder), "train", samples)
        for before, after in zip(samples, FORMAT.load(Path(folder), "train"), strict=True):
            np.testing.assert_array_equal(before.image, after.image)
            assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
            assert_same(before.target, after.target)
        present = {label for labels in maps for label in labels.ravel().tolist()} - {IGNORE}
        assert FORMAT.check(Path(folder), "train") == {"images": len(maps), "categories": len(present)}


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    FORMAT.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=scene())])
    with pytest.raises(DatasetDMError, match="categories"):
        standard_format(config.SemanticAnnotation(), CATEGORIES[:2]).load(tmp_path, "train")
    file = tmp_path / "annotations" / "train.json"
    file.write_text(file.read_text().replace('"star"', '"cross"'))
    with pytest.raises(DatasetDMError, match="other names"):
        FORMAT.check(tmp_path, "train")


def test_labels_of_no_category_are_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    wrong = SemanticMap.of(np.where(scene().labels == 1, 4, scene().labels))
    FORMAT.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=wrong)])
    with pytest.raises(DatasetDMError, match=r"a\.png: the pixel value 4"):
        FORMAT.check(tmp_path, "train")
