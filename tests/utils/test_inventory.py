"""Whether the files of a folder are what they were."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasetdm.utils.inventory import find_damage, take_inventory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "unit"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "ü.png").write_bytes(b"pixels")
    (folder / "list.json").write_text("{}")
    take_inventory(folder, tmp_path / "unit.files")
    return folder


def overwrite(file: Path) -> None:
    """The same size and, as far as anyone can tell, another content."""
    with file.open("r+b") as stream:
        stream.write(b"other!")
    os.utime(file, ns=(1, 1))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda file: os.truncate(file, 3), "has 3 bytes instead of 6"),
    "emptied": (lambda file: os.truncate(file, 0), "has 0 bytes instead of 6"),
    "gone": (Path.unlink, "is missing"),
    "overwritten": (overwrite, "content of images/ü.png has changed"),
}


def test_what_was_not_touched_is_whole(folder: Path) -> None:
    assert find_damage(folder, folder.with_suffix(".files")) is None
    (folder / "added").touch()
    assert find_damage(folder, folder.with_suffix(".files")) is None


@pytest.mark.parametrize(("damage", "told"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("through_link", [False, True])
def test_damage_is_found(folder: Path, damage: Callable[[Path], object], told: str, through_link: bool) -> None:
    file = folder / "images" / "ü.png"
    if through_link and told != "is missing":
        os.link(file, folder.with_name("published.png"))
        damage(folder.with_name("published.png"))
    else:
        damage(file)
    assert told in str(find_damage(folder, folder.with_suffix(".files")))


def test_a_copy_with_another_time_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = folder.with_suffix(".files")
    os.utime(folder / "list.json", ns=(1, 1))
    assert find_damage(folder, inventory) is None
    monkeypatch.setattr("datasetdm.utils.inventory._entry", None)  # would be called to read a file
    assert find_damage(folder, inventory) is None


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"a": 1}', b'{"a": ["x", 1, "y"]}', b"\xff"])
def test_an_inventory_that_cannot_be_read_says_nothing(folder: Path, content: bytes | None) -> None:
    inventory = folder.with_suffix(".files")
    inventory.unlink() if content is None else inventory.write_bytes(content)
    assert find_damage(folder, inventory) is None
