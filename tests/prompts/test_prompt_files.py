"""A folder of prompts in the layout of the released code."""

from pathlib import Path

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.files import load_prompt_files
from datasetdm.prompts.mentioned import mentions_of

CATEGORIES = [Category(id=1, name="okapi"), Category(id=2, name="fire_hydrant"), Category(id=3, name="traffic light")]


def load(folder: Path, **more: list[str]):
    return load_prompt_files(folder, CATEGORIES, mentions_of(CATEGORIES), **more)


def test_the_layout_reads_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Okapi.txt").write_bytes(
        b"\xef\xbb\xbfAn okapi by a fire hydrant\r\n\r\n  A striped   animal \r\nA striped animal"
    )
    (tmp_path / "fire hydrant.txt").write_text("Zwei rote Hydranten in Köln")
    (tmp_path / "TRAFFIC_LIGHT.TXT").write_text("\n")
    (tmp_path / "general.txt").write_text("A quiet street\nTwo okapis at night\n")
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / ".DS_Store").write_bytes(b"\xff")
    (tmp_path / "old").mkdir()
    found = load(tmp_path)
    assert {name: [(line.text, line.categories) for line in lines] for name, lines in found.lines.items()} == {
        "okapi": [("An okapi by a fire hydrant", ("okapi", "fire_hydrant")), ("A striped animal", ("okapi",))],
        "fire_hydrant": [("Zwei rote Hydranten in Köln", ("fire_hydrant",))],
        "general": [("A quiet street", ()), ("Two okapis at night", ("okapi",))],
    }
    assert [sentence.split("/")[-1].split(" ")[0] for sentence in found.remarks] == [
        "Okapi.txt:",
        "README.md",
        "TRAFFIC_LIGHT.TXT",
        "fire",
        "old",
    ]
    assert found.remarks[0].startswith("Okapi.txt: 1 of 2 prompts do not name okapi, such as 'A striped animal'.")
    assert "okapi" not in load(tmp_path, left_out=["okapi"]).lines


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "okapis.txt").write_text("Two okapis")
    (tmp_path / "zebra.txt").write_text("A zebra")
    (tmp_path / "okapi.txt").write_bytes(b"\xff\xfeA")
    (tmp_path / "fire_hydrant.txt").write_text("A fire hydrant")
    (tmp_path / "Fire hydrant.txt").write_text("A fire hydrant")
    with pytest.raises(DatasetDMError) as error:
        load(tmp_path)
    for part in (
        str(tmp_path),
        "prompts.files",
        "okapis.txt is named after no category (did you mean okapi?)",
        "zebra.txt is named after no category",
        "okapi.txt is not UTF-8",
        "fire_hydrant.txt and Fire hydrant.txt are named after the same category",
    ):
        assert part in str(error.value)


def test_a_folder_without_prompts(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"has no prompts: it needs <category>\.txt"):
        load(tmp_path)
    with pytest.raises(DatasetDMError, match="not a folder"):
        load(tmp_path / "nowhere")
