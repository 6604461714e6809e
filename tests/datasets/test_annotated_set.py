"""What a set in a standard format is known by."""

from pathlib import Path

import pytest

from datasetdm.datasets.standard import annotated_set as module
from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.errors import DatasetDMError
from datasetdm.utils.digests import digest


def write(folder: Path, name: str = "a.txt", text: str = "a") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_an_annotated_set_is_known_by_its_images_too(tmp_path: Path) -> None:
    write(tmp_path / "annotations", name="dev.json", text='{"images": [{"id": 1, "file_name": "a.png"}]}')
    write(tmp_path / "images", name="a.png", text="pixels")
    before = digest(*annotated_set(tmp_path, "dev"))
    assert digest(*annotated_set(tmp_path, "dev")) == before
    write(tmp_path / "images", name="a.png", text="other pixels")
    assert digest(*annotated_set(tmp_path, "dev")) != before


def test_a_list_is_parsed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "annotations" / "dev.json"
    parsed = []
    load = module.load_unlabelled
    monkeypatch.setattr(module, "load_unlabelled", lambda *asked: parsed.append(asked) or load(*asked))
    for name in ("a", "b"):
        write(file.parent, name="dev.json", text=f'{{"images": [{{"id": 1, "file_name": "{name}.png"}}]}}')
        write(tmp_path / "images", name=f"{name}.png", text="pixels")
        assert count_images(tmp_path, "dev") == 1
        assert annotated_set(tmp_path, "dev") == [file, [(f"{name}.png", "", 1, 6)]]
    assert len(parsed) == 2
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(DatasetDMError, match=r"lacks b\.png"):
        annotated_set(tmp_path, "dev")
