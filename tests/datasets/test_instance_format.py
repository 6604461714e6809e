from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from tests.annotations.test_instances import CATEGORIES, SIZE, apart, assert_same, random_instances

FORMAT = standard_format(config.InstanceAnnotation(), CATEGORIES)


def test_files_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            name=f"{number}.png",
            image=rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8),
            caption=f"picture {number}",
            target=random_instances(number) if number else Instances.empty(*SIZE),
            image_id=number + 1,
        )
        for number in range(3)
    ]
    FORMAT.save(tmp_path, "train", samples)
    loaded = FORMAT.load(tmp_path, "train")
    for before, after in zip(samples, loaded, strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        assert_same(before.target, after.target)
    objects = sum(int((~sample.target.crowd).sum()) for sample in samples)
    assert FORMAT.check(tmp_path, "train") == {"images": 3, "objects": objects}


def test_what_was_judged_comes_back(tmp_path: Path) -> None:
    categories = [replace(category, frequency="c") for category in CATEGORIES]
    files = standard_format(config.InstanceAnnotation(), categories)
    target = replace(apart(labels=(0, 0, 2)), judged=(0, 1, 2), not_exhaustive=(2,))
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    files.save(tmp_path, "dev", [Sample(name="a.png", image=image, caption="", target=target)])
    (read,) = files.load(tmp_path, "dev")
    assert (read.target.judged, read.target.not_exhaustive) == (target.judged, target.not_exhaustive)
    assert (
        "mask_ap_common"
        in build_evaluator(config.InstanceAnnotation(), files.load(tmp_path, "dev").categories).compute()
    )


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    FORMAT.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=apart())])
    with pytest.raises(DatasetDMError, match="categories"):
        standard_format(config.InstanceAnnotation(), CATEGORIES[:2]).load(tmp_path, "train")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetDMError, match=r"a\.png"):
        FORMAT.check(tmp_path, "train")
