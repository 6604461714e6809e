"""The table of prompts, also after a person's edits."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts import encode_prompts, load_prompts, write_prompts

CATEGORIES = [
    Category(id=1, name="dog", supercategory="animal"),
    Category(id=7, name="wine glass", supercategory="kitchen"),
]
HEADER = "id,prompt,categories,kind\n"


def test_written_prompts_read_back_equal(tmp_path: Path) -> None:
    frame = write_prompts(CATEGORIES, config.Prompts(num_prompts=60))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "coco.csv").write_bytes(encode_prompts(frame))
    pd.testing.assert_frame_equal(load_prompts(tmp_path / "prompts" / "coco.csv", CATEGORIES), frame)


words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(
            st.lists(words, min_size=1, max_size=4).map(" ".join), st.sampled_from(["", "dog", "wine glass;dog"])
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_reads_back_equal(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    frame = pd.DataFrame(
        [(3 * number, prompt, names, "template") for number, (prompt, names) in enumerate(rows)],
        columns=["id", "prompt", "categories", "kind"],
    )
    (tmp_path / "x.csv").write_bytes(encode_prompts(frame))
    pd.testing.assert_frame_equal(load_prompts(tmp_path / "x.csv", CATEGORIES), frame)


def test_edits_that_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    lines = (
        "note,kind,categories,prompt,id",
        'mine,own, dog ; wine glass ,"a dog, a wine glass  and',
        'nothing else", 8 ',
        ",,,,",
        ",,,a street,2",
    )
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert load_prompts(file, CATEGORIES).to_dict("records") == [
        {"id": 8, "prompt": "a dog, a wine glass and nothing else", "categories": "dog;wine glass", "kind": "own"},
        {"id": 2, "prompt": "a street", "categories": "", "kind": ""},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: there is not one column 'id'"),
        ("id,prompt,kind\n", "not one column 'categories'"),
        ("id;prompt;categories;kind\n", "with commas between"),
        (HEADER, "has no prompts"),
        (HEADER + "0,a dog,dog,own\n1,a cat,cat,own\n", "line 3: the category 'cat' is unknown. Known are: dog"),
        (HEADER + "0,a dog,dog;dog,own\n", "line 2: a category is listed twice"),
        (HEADER + "0,a dog,dog;,own\n", "category '' is unknown"),
        (HEADER + "0,  ,dog,own\n", "line 2: the prompt is empty"),
        (HEADER + "x,a dog,dog,own\n", "line 2: the id 'x'"),
        (HEADER + "-1,a dog,dog,own\n", "the id '-1'"),
        (HEADER + "1.0,a dog,dog,own\n", "the id '1.0'"),
        (HEADER + "0,a dog,dog,own\n\n0,a dog,dog,own\n", "line 4: the id 0 stands in line 2 already"),
        (HEADER + "0,a dog, a car,dog,own\n", "line 2: there are 5 values for 4 columns"),
        (HEADER + '0,"a dog,dog,own\n1,b,dog,own\n', "broken CSV"),
        (HEADER + '0,"a" dog,dog,own\n', "line 2: broken CSV"),
    ],
)
def test_edits_that_are_reported(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(DatasetDMError) as error:
        load_prompts(file, CATEGORIES)
    assert says in str(error.value) and str(file) in str(error.value)


def test_missing_file_and_wrong_encoding_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="is missing: write it"):
        load_prompts(tmp_path / "none.csv", CATEGORIES)
    (tmp_path / "x.csv").write_bytes((HEADER + "0,ein Hündchen,dog,own\n").encode("latin-1"))
    with pytest.raises(DatasetDMError, match="is not UTF-8"):
        load_prompts(tmp_path / "x.csv", CATEGORIES)
    with pytest.raises(DatasetDMError, match="cannot be read"):
        load_prompts(tmp_path, CATEGORIES)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_end_in_another_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(HEADER.encode() + data)
    try:
        frame = load_prompts(file, CATEGORIES)
    except DatasetDMError as error:
        message = str(error)
    else:
        assert len(frame) and frame["prompt"].str.len().min() > 0
        return
    assert str(file) in message
