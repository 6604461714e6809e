"""What the record of a published folder saves, and when it does not count."""

import json
from pathlib import Path

import pytest

from datasetdm.datasets.standard import annotated_set as parsing
from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.pipeline.annotated_sets import AnnotatedSets, describe_sets
from datasetdm.utils.digests import digest
from datasetdm.utils.files import write_json


def save(root: Path, names: list[str], pixels: str = "pixels") -> None:
    for part in ("images", "annotations"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "images" / name).write_text(pixels)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, 1)]
    (root / "annotations" / "dev.json").write_text(json.dumps({"images": images}))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with two images and a record."""
    root = tmp_path / "published"
    save(root, ["a.png", "b.png"])
    write_json(root / "record.json", describe_sets(root))
    return root


def test_the_record_says_what_the_annotations_say(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest(*annotated_set(published, "dev"))
    monkeypatch.setattr(parsing, "_parsed_images", None)  # nothing is parsed
    sets = AnnotatedSets()
    assert sets.count(published, "dev") == 2
    assert sets.identity(published, "dev") == expected


@pytest.mark.parametrize("name", ["images", "annotations", "record"])
def test_the_record_of_other_files_does_not_count(published: Path, name: str) -> None:
    before = AnnotatedSets().identity(published, "dev")
    if name == "images":
        save(published, ["a.png", "b.png"], pixels="other pixels")
    elif name == "annotations":
        save(published, ["a.png", "b.png", "c.png"])
    else:
        (published / "record.json").write_text("{")
    sets = AnnotatedSets()
    assert sets.count(published, "dev") == (3 if name == "annotations" else 2)
    assert sets.identity(published, "dev") == digest(*annotated_set(published, "dev"))
    assert (sets.identity(published, "dev") == before) == (name == "record")


def test_a_set_without_a_record_is_parsed(tmp_path: Path) -> None:
    save(tmp_path, ["a.png"])
    assert AnnotatedSets().count(tmp_path, "dev") == 1
