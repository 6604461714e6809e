"""Lines that somebody else wrote, as a table."""

from collections import Counter

import pandas as pd

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.prompts.mixture import PROVENANCE, Line, lines_wanted, mixture
from datasetdm.prompts.table import encode_prompts, load_prompts

CATEGORIES = [Category(id=7, name="okapi"), Category(id=2, name="wine_glass")]


def settings(**changes: float) -> config.Prompts:
    return config.Prompts.model_validate({"num_prompts": 10, **changes})


def lines(name: str, count: int, **more: str) -> list[Line]:
    return [Line(text=f"{name} number {number}", categories=(name,), **more) for number in range(count)]


def test_categories_take_turns_and_the_plain_share_is_the_papers() -> None:
    pool = {"okapi": lines("okapi", 9), "wine_glass": lines("wine_glass", 9)}
    table = mixture(pool, CATEGORIES, settings(), kind="file")
    assert list(table.columns) == ["id", "prompt", "categories", "kind"]
    assert table["kind"].value_counts().to_dict() == {"file": 7, "plain": 3}
    assert lines_wanted(settings()) == 7
    assert set(table.loc[table["kind"] == "plain", "prompt"]) <= {"a photo of an okapi", "a photo of a wine glass"}
    named = Counter(table["categories"])
    assert abs(named["okapi"] - named["wine_glass"]) <= 1
    written = table.loc[table["kind"] == "file", "prompt"]
    assert [text for text in written if "okapi" in text] == [line.text for line in pool["okapi"]][: named["okapi"]][
        : sum("okapi" in text for text in written)
    ]
    fewer = mixture(pool, CATEGORIES, settings(num_prompts=6), kind="file")
    assert fewer.equals(table.head(6))


def test_it_ends_where_the_lines_do() -> None:
    table = mixture({"okapi": lines("okapi", 2)}, CATEGORIES, settings(plain_fraction=0.0), kind="file")
    assert len(table) == 2
    assert mixture({}, CATEGORIES, settings(plain_fraction=0.0), kind="file").empty


def test_who_wrote_a_line_survives_the_file_and_an_edit(tmp_path) -> None:
    written = lines("okapi", 3, model="tiny", instruction="0123abcd", date="2026-11-29")
    table = mixture({"okapi": written}, CATEGORIES, settings(), kind="language_model")
    file = tmp_path / "prompts.csv"
    file.write_bytes(encode_prompts(table))
    assert file.read_text().splitlines()[0] == "id,prompt,categories,kind,model,instruction,date"
    read = pd.read_csv(file)
    assert read.loc[read["kind"] == "language_model", list(PROVENANCE)].drop_duplicates().values.tolist() == [
        ["tiny", "0123abcd", "2026-11-29"]
    ]
    assert load_prompts(file, CATEGORIES).equals(table[["id", "prompt", "categories", "kind"]])
    file.write_text(file.read_text() + '99,"mine, of course",,mine,,,\n')
    assert len(load_prompts(file, CATEGORIES)) == len(table) + 1
