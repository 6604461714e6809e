"""The file `params.yaml` itself: missing, damaged, and what YAML makes of it."""

import re
from pathlib import Path

import pytest

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_broken_file_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(DatasetDMError, match=r"params\.yaml"):
        load_params(file)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="root folder"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", None])
def test_a_file_that_is_no_text_is_told(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "params.yaml"
    file.mkdir() if data is None else file.write_bytes(data)
    with pytest.raises(DatasetDMError, match=r"params\.yaml"):
        load_params(file)


def test_a_key_that_a_block_has_twice_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(re.sub(r"prompts: {num_prompts: \d+", r"\g<0>, num_prompts: 4", text, count=1))
    with pytest.raises(
        DatasetDMError, match=r"line \d+, column \d+, is not valid YAML: .*duplicate key \"num_prompts\""
    ):
        load_params(file)


def test_what_a_block_takes_over_may_be_overruled(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    named, street = params.benchmark("voc").decoder, params.benchmark("cityscapes").decoder
    assert (named.category_from_prompt, street.category_from_prompt) == (True, False)
    assert street.model_copy(update={"category_from_prompt": True, "reading": named.reading}) == named


def test_what_was_taken_over_and_overruled_may_be_taken_over_from_any_depth(tmp_path: Path) -> None:
    """YAML writes into a block what it takes over, and does that to a deeper one before it is read itself."""
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(
        "anchors: &base {seeds: [0]}\ndeep: {deeper: &over {<<: *base, seeds: [1]}}\nshallow: {<<: *over}\n" + text
    )
    with pytest.raises(DatasetDMError) as told:
        load_params(file)
    assert "shallow is not a setting" in str(told.value)
