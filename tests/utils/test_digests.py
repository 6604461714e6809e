"""Digests change with settings and contents, and with nothing else."""

import os
import time
from pathlib import Path

import pytest

from datasetdm.config import Augmentation
from datasetdm.utils.digests import digest, digest_of_images


def write(folder: Path, name: str = "a.txt", text: str = "a") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_digest_sees_settings_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "data", name="a.json", text="{}")
    settings = Augmentation(num_images=1, proportions={"1x2": 1.0}, max_size=8)
    first = digest(settings, tmp_path / "data")
    assert digest(settings, tmp_path / "data") == first
    assert digest(settings.model_copy(update={"num_images": 2}), tmp_path / "data") != first
    write(tmp_path / "data", name="a.json", text="[]")
    assert digest(settings, tmp_path / "data") != first


def test_digest_does_not_mistake_a_boundary(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_digest_looks_into_lists(tmp_path: Path) -> None:
    write(tmp_path / "data", name="a.json", text="{}")
    before = digest([tmp_path / "data" / "a.json", 1])
    write(tmp_path / "data", name="a.json", text="[]")
    assert digest([tmp_path / "data" / "a.json", 1]) != before
    assert digest(["a", "b"], "c") != digest(["a"], "b", "c")


@pytest.mark.parametrize("age", [0.0, 60.0])
def test_a_digest_sees_a_change_of_the_same_size(tmp_path: Path, age: float) -> None:
    file = tmp_path / "a.json"
    digests = set()
    for number, text in enumerate(("[1]", "[2]")):
        file.write_text(text)
        changed = time.time() - age + number
        os.utime(file, (changed, changed))
        digests |= {digest(file), digest(file)}
    assert len(digests) == 2


def test_digests_stay_what_they_were(tmp_path: Path) -> None:
    """Units and published sets are known by them: another digest of the same content would make all of it again."""
    folder = tmp_path / "set"
    for name in ("a/b.png", "a.png", "a-b.json", "a/c/d.txt", "é.jpg", "z"):
        write((folder / name).parent, (folder / name).name, name)
    assert digest(folder) == "b795c5905ec2913a"
    assert digest_of_images(folder) == "398ec4d69d6f7cfe"
    settings = {"b": [1, "x"], "a": None}
    parts = ("é", 1, 1.5, True, None, settings, [("n", 3), ["m", []]], Path("nowhere"))
    assert digest(*parts) == "e6bf50153d5b70b7"


def test_a_link_to_nothing_is_no_file_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "data")
    before = digest(tmp_path / "data")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "nowhere")
    assert digest(tmp_path / "data") == before
