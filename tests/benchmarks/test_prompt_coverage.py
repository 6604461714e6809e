"""The comparison of kinds of prompts, without its trainings."""

from pathlib import Path

import pytest

from benchmarks.prompt_coverage import KINDS, contrasts, text_of, variant
from datasetdm import config

PARAMS = Path(__file__).parents[2] / "params.yaml"


def test_kinds_differ_in_their_prompts_alone() -> None:
    params = config.load_params(PARAMS)
    chains = [variant(params, "coco", kind, [3, 4]) for kind in KINDS]
    assert len({chain.paths.prompts for chain in chains}) == len({chain.paths.work_root for chain in chains}) + 2 == 3
    blocks = [chain.settings.model_dump() for chain in chains]
    assert len({str(block.pop("prompts")) for block in blocks}) == 3
    assert blocks[0] == blocks[1] == blocks[2]
    assert blocks[0]["seeds"] == (3, 4) and blocks[0]["experiment"]["arms"] == ("real", "both")
    assert {chain.settings.prompts.num_prompts for chain in chains} == {400}


def row(both: list[float]) -> dict:
    figures = {"real": {"0": 0.1, "1": 0.2}, "both": dict(zip("01", both, strict=True))}
    variety = {"vendi_score": 3.0}
    return {
        "metric": "mask_ap",
        "variety": variety,
        "drawn": 4,
        "accepted": {"0": 2, "1": 3},
        "dev": figures,
        "test": figures,
    }


def test_contrasts_are_paired_by_seed() -> None:
    rows = {"uniform": row([0.2, 0.3]), "dense": row([0.25, 0.33])}
    found = contrasts(rows)
    assert set(found["test"]) == {"uniform: both - real", "dense: both - real", "dense - uniform"}
    assert found["test"]["dense - uniform"]["mean"] == pytest.approx(0.04)
    assert found["dev"]["uniform: both - real"]["interval"] == pytest.approx([0.1, 0.1])
    text = text_of(rows)
    assert "| dense | 4 | 2 | 2.500 | 3 |" in text and "| test | dense - uniform | +4.0 |" in text
