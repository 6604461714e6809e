"""Cards come from a table that a person may edit; their times from operations and rates."""

from dataclasses import replace
from pathlib import Path

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.planning.cards import TABLE, find_card
from datasetdm.pipeline.planning.rate import Rate

PASS = {"seconds": 9.0, "processor": 9.0, "launches": 1271.0}
IMAGE = 2 * 0.803e12  # operations of both guidance halves in a step of Stable Diffusion 1.4 at 512 pixels


@pytest.mark.parametrize(
    ("precision", "batch", "measured"), [("float32", 8, 31.7), ("bfloat16", 8, 10.4), ("bfloat16", 32, 6.4)]
)
def test_an_h100_takes_as_long_as_one_did(precision: str, batch: int, measured: float) -> None:
    """Milliseconds of a sampling step for an image, with a pass for each half, as they were measured on an H100."""
    step = Rate(seconds=9, processor=9, launches=2 * 1271, flops=batch * IMAGE, precision=precision)
    assert 1000 * find_card("H100-SXM").seconds(step) / batch == pytest.approx(measured, rel=0.03)


def test_work_of_the_processor_is_as_fast_as_here() -> None:
    card = find_card("t4")
    assert card.seconds(Rate(seconds=0.5, processor=0.5, host=0.5)) == 0.5
    step = Rate(**PASS, flops=IMAGE)
    assert card.seconds(replace(step, host=2.0)) == pytest.approx(2 + card.seconds(step))


def test_a_card_without_units_for_bfloat16_gains_nothing_by_it() -> None:
    step = Rate(**PASS, flops=IMAGE)
    half = replace(step, precision="bfloat16")
    assert find_card("t4").seconds(half) >= find_card("t4").seconds(step)
    assert find_card("a100-80gb").seconds(half) < find_card("a100-80gb").seconds(step)


def test_memory_leaves_room_for_the_driver() -> None:
    card = find_card("a100-80gb")
    assert card.holds(70e9) and not card.holds(79e9)


def test_every_line_of_the_table_is_a_card() -> None:
    names = [line.split(",")[0] for line in TABLE.read_text().splitlines()[1:]]
    assert len(names) == len(set(names)) > 10
    for name in names:
        card = find_card(name)
        assert card.memory > 1e10 and card.rates["bfloat16"] >= card.rates["float32"] > 1e12


def test_an_unknown_card_and_a_broken_table_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"no card 'a1000'.*a100-80gb.*add a line"):
        find_card("a1000")
    table = tmp_path / "cards.csv"
    table.write_text("name,title,memory_gb,bf16_tflops,fp32_tflops\nmine,My card,twelve,1,1\n")
    with pytest.raises(DatasetDMError, match=r"cards.csv, line 2, is not a name"):
        find_card("mine", table)
