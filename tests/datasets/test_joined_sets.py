"""A set put together out of parts is the set that would have been written at once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Attribution, Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.standard.formats import StandardFormat, standard_format
from datasetdm.errors import DatasetDMError
from tests.annotations.test_instances import CATEGORIES, SIZE, random_instances
from tests.annotations.test_persons import PERSON, people
from tests.annotations.test_persons import SIZE as PERSONS_SIZE

ORIGIN = Attribution(
    file_name="9.jpg",
    fields={"coco_url": "http://coco/9"},
    license={"id": 4, "name": "Attribution License"},
    info={"description": "COCO 2017"},
)
OTHER = replace(ORIGIN, license={"id": 4, "name": "Another licence of the same number"}, info={"description": "mine"})


def semantic(number: int) -> SemanticMap:
    return SemanticMap.of(np.random.default_rng(number).integers(0, 3, SIZE).astype(np.uint8))


def depth(number: int) -> DepthMap:
    metres = np.random.default_rng(number).uniform(1, 9, SIZE).astype(np.float32)
    return DepthMap(depth=metres, valid_mask=metres > 2)


def crowded(number: int) -> Any:
    return people(*[(4, 6, 16, 36), (24, 4, 20, 40)][: number % 3], seed=number)


KINDS = {
    "instance": (config.InstanceAnnotation(), CATEGORIES, random_instances, SIZE),
    "pose": (config.PoseAnnotation(), [PERSON], crowded, PERSONS_SIZE),
    "semantic": (config.SemanticAnnotation(), CATEGORIES, semantic, SIZE),
    "depth": (config.DepthAnnotation(), [Category(id=1, name="room")], depth, SIZE),
}


def samples_of(kind: str, numbers: Sequence[int]) -> list[Sample]:
    _, _, target, size = KINDS[kind]
    origins = {2: (ORIGIN,), 3: (OTHER,), 4: (ORIGIN, OTHER)} if kind in ("instance", "pose") else {}
    return [
        Sample(
            name=f"{number:06d}.png",
            image=np.full((*size, 3), number, dtype=np.uint8),
            caption=f"picture {number}",
            target=target(number),
            image_id=number + 1,
            attribution=origins.get(number, ()),
        )
        for number in numbers
    ]


def written(folder: Path, files: StandardFormat, samples: Sequence[Sample]) -> Path:
    files.save(folder, "seed_0", samples)
    return folder


def content_of(folder: Path) -> dict[str, Any]:
    names = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "images"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


@pytest.mark.parametrize("kind", list(KINDS))
def test_joined_parts_are_what_is_written_at_once(kind: str, tmp_path: Path) -> None:
    settings, categories, _, _ = KINDS[kind]
    files = standard_format(settings, categories)
    whole = written(tmp_path / "whole", files, samples_of(kind, range(6)))
    parts = [
        written(tmp_path / str(n), files, samples_of(kind, part)) for n, part in enumerate([[0, 1, 2], [], [3, 4, 5]])
    ]
    files.join(tmp_path / "joined", "seed_0", parts)
    found, expected = content_of(tmp_path / "joined"), content_of(whole)
    name = "annotations/seed_0.json"
    assert json.loads(found.pop(name)) == json.loads(expected.pop(name))
    assert found == expected
    for image in (whole / "images").iterdir():
        (tmp_path / "joined" / "images").mkdir(exist_ok=True)
        (tmp_path / "joined" / "images" / image.name).write_bytes(image.read_bytes())
    assert files.check(tmp_path / "joined", "seed_0") == files.check(whole, "seed_0")


@pytest.mark.parametrize("kind", ["instance", "pose"])
def test_parts_that_somebody_wrote_again_give_the_same(kind: str, tmp_path: Path) -> None:
    settings, categories, _, _ = KINDS[kind]
    files = standard_format(settings, categories)
    parts = [written(tmp_path / str(n), files, samples_of(kind, part)) for n, part in enumerate([[0, 1, 2], [3, 4]])]
    files.join(tmp_path / "one", "seed_0", parts)
    for part, layout in zip(parts, ({"indent": 2}, {"ensure_ascii": False}), strict=True):
        file = part / "annotations" / "seed_0.json"
        content = json.loads(file.read_text())
        content["annotations"] = [{**one, "id": 100 + one["id"]} for one in content["annotations"]]
        content["annotations"].append({**content["annotations"][0], "note": "grün"})
        file.write_text(json.dumps(content, **layout))
    files.join(tmp_path / "other", "seed_0", parts)
    one, other = (json.loads(next((tmp_path / name).rglob("*.json")).read_bytes()) for name in ("one", "other"))
    usual = [record for record in other["annotations"] if "note" not in record]
    assert len(usual) == len(other["annotations"]) - 2 and [record["id"] for record in other["annotations"]] == [
        *range(1, len(usual) + 3)
    ]
    assert [{**record, "id": 0} for record in usual] == [{**record, "id": 0} for record in one["annotations"]]
    assert other["images"] == one["images"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_of_the_parts_only_the_named_images_are_taken(kind: str, tmp_path: Path) -> None:
    settings, categories, _, _ = KINDS[kind]
    files = standard_format(settings, categories)
    some = written(tmp_path / "some", files, samples_of(kind, [1, 3]))
    parts = [written(tmp_path / str(n), files, samples_of(kind, part)) for n, part in enumerate([[0, 1, 2], [3, 4]])]
    files.join(tmp_path / "joined", "seed_0", parts, {"000001.png", "000003.png", "000009.png"})
    found, expected = content_of(tmp_path / "joined"), content_of(some)
    name = "annotations/seed_0.json"
    assert json.loads(found.pop(name)) == json.loads(expected.pop(name))
    assert found == expected
    files.join(tmp_path / "none", "seed_0", parts, ())
    assert json.loads((tmp_path / "none" / name).read_text())["images"] == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_parts_with_the_same_image_are_refused(kind: str, tmp_path: Path) -> None:
    settings, categories, _, _ = KINDS[kind]
    files = standard_format(settings, categories)
    parts = [written(tmp_path / str(n), files, samples_of(kind, part)) for n, part in enumerate([[0, 1], [1, 2]])]
    with pytest.raises(DatasetDMError, match="two images have the"):
        files.join(tmp_path / "joined", "seed_0", parts)
    assert not (tmp_path / "joined" / "annotations" / "seed_0.json").exists()


def test_a_check_reads_the_size_of_images_and_finds_text_in_their_place(tmp_path: Path) -> None:
    files = standard_format(config.InstanceAnnotation(), CATEGORIES)
    folder = written(tmp_path, files, samples_of("instance", range(2)))
    image = folder / "images" / "000001.png"
    image.write_text("not an image")
    with pytest.raises(DatasetDMError, match=r"000001\.png cannot be read as an image"):
        files.check(folder, "seed_0")
    image.write_bytes((folder / "images" / "000000.png").read_bytes())
    content = json.loads((folder / "annotations" / "seed_0.json").read_text())
    content["images"][1]["width"] += 1
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == 1]
    (folder / "annotations" / "seed_0.json").write_text(json.dumps(content))
    with pytest.raises(DatasetDMError, match=r"000001\.png is .* pixels, but"):
        files.check(folder, "seed_0")
