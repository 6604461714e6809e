"""Near-copies in a benchmark's sets: what the checks say, and the command `copies`."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.near_copies import CHANGES
from datasetdm.cli import main
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.near_copies import check_drawn, check_held_out
from datasetdm.utils.files import write_image, write_json

SOURCE = {"format": "coco", "root": "data/raw/mine"}
REAL, DRAWN = Path("data/real/coco"), Path("data/synthetic/coco")
SETS = {"few_shot_0": "abc", "dev": "de", "test": "fgh"}


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    layers = [
        cv2.resize(rng.normal(size=(n, n, 3)).astype(np.float32), (130, 90), interpolation=cv2.INTER_CUBIC) * s
        for n, s in ((3, 40), (7, 25), (20, 15))
    ]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def changed(image: np.ndarray, kind: str) -> np.ndarray:
    return np.ascontiguousarray(CHANGES[kind](image, np.random.default_rng(1)))


@pytest.fixture
def benchmark(project) -> None:
    """Three sets of real images, and six drawn ones, of which one was rejected; all of them differ."""
    project(SOURCE)
    for subset, names in SETS.items():
        for name in names:
            write_image(REAL / "images" / f"{name}.png", picture(ord(name)))
        write_json(REAL / "annotations" / f"{subset}.json", {"images": [{"file_name": f"{n}.png"} for n in names]})
    for number in range(6):
        place = "images" if number else "rejected/images"
        write_image(DRAWN / place / f"{number}.png", picture(number))


def test_sets_that_differ_pass(benchmark) -> None:
    assert check_held_out(open_context("coco"), REAL) == {"compared": 8}
    assert check_drawn(open_context("coco"), DRAWN) == {"drawn": 6, "alike": 0}


@pytest.mark.parametrize(("first", "second", "refused"), [("a", "d", True), ("d", "f", True), ("a", "g", True),
                                                          ("a", "b", False), ("f", "g", False)])  # fmt: skip
def test_copies_of_held_out_images(first: str, second: str, refused: bool, benchmark) -> None:
    write_image(REAL / "images" / f"{second}.png", changed(picture(ord(first)), "flipped"))
    if not refused:
        check_held_out(open_context("coco"), REAL)
        return
    with pytest.raises(DatasetDMError, match=rf"{first}\.png and {second}\.png.*datasetdm copies coco"):
        check_held_out(open_context("coco"), REAL)


def test_copies_of_real_images_and_of_each_other(benchmark, capsys) -> None:
    write_image(DRAWN / "images/3.png", changed(picture(2), "brightness"))
    with pytest.raises(DatasetDMError, match=r"2 of 6 drawn images look like another one, such as 2\.png and 3\.png"):
        check_drawn(open_context("coco"), DRAWN)
    write_image(DRAWN / "rejected/images/0.png", changed(picture(ord("g")), "jpeg"))
    with pytest.raises(DatasetDMError, match=r"1 image is a near-copy of real images.*0\.png and g\.png"):
        check_drawn(open_context("coco"), DRAWN)

    assert main(["copies", "coco"]) == 0
    said = capsys.readouterr().out
    assert "8 real images" in said and "| rejected/images/0.png | images/g.png | test |" in said
    assert main(["copies", "coco", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(pair["first"]).name for pair in found["drawn"]] == ["0.png", "2.png"] and found["held_out"] == []


def test_a_project_without_images_is_told_what_to_run(project, capsys) -> None:
    project(SOURCE)
    assert main(["copies", "coco"]) == 2
    assert "datasetdm ingest coco" in capsys.readouterr().err
