"""Near-copies, on pictures of odd sizes; `benchmarks/near_copies.py` measures on scenes and photographs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.near_copies import CHANGES, plant
from datasetdm.datasets.near_copies import look_at_images, near_copies
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import write_image

COUNT = 25
PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "realdata" / "COCO2017" / "val2017"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clouds of colour with structure at several scales, as photographs have."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("pictures")
    files = []
    for number in range(COUNT):
        size = (int(rng.integers(70, 260)), int(rng.integers(70, 260)))
        layers = [
            cv2.resize(rng.normal(size=(n, n, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC) * s
            for n, s in ((3, 40), (7, 25), (20, 15), (50, 8))
        ]
        files.append(folder / f"{number}.png")
        write_image(files[-1], np.clip(128 + sum(layers), 0, 255).astype(np.uint8))
    return files


@pytest.mark.parametrize("kind", CHANGES)
def test_planted_copies_are_found_and_nothing_else(kind: str, pictures: list[Path], tmp_path: Path) -> None:
    copies = plant(pictures, CHANGES[kind], tmp_path)
    pairs = near_copies(look_at_images(copies), look_at_images(pictures))
    assert [(pair.first, pair.second) for pair in pairs] == [(number, number) for number in range(COUNT)]
    assert min(pair.similarity for pair in pairs) > 0.9


def test_among_images_each_pair_is_found_once(pictures: list[Path], tmp_path: Path) -> None:
    assert near_copies(look_at_images(pictures)) == []
    (copy,) = plant(pictures[7:8], CHANGES["jpeg"], tmp_path)
    (pair,) = near_copies(look_at_images([*pictures, copy]))
    assert (pair.first, pair.second) == (7, COUNT)


def test_images_without_structure_are_no_copies(tmp_path: Path) -> None:
    files = [tmp_path / f"{value}.png" for value in (0, 90, 255)]
    for file, value in zip(files, (0, 90, 255), strict=True):
        write_image(file, np.full((40, 60, 3), value, dtype=np.uint8))
    assert near_copies(look_at_images([*files, files[1]])) == []
    assert near_copies(look_at_images([])) == []


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0half")
    with pytest.raises(DatasetDMError, match=r"half\.jpg"):
        look_at_images([tmp_path / "half.jpg"])


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"real photographs are not at {PHOTOGRAPHS}")
def test_photographs(tmp_path: Path) -> None:
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[:30]
    assert near_copies(look_at_images(files)) == []
    copies = plant(files, CHANGES["cropped"], tmp_path)
    assert len(near_copies(look_at_images(copies), look_at_images(files))) == 30
