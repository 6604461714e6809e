"""Several comparisons as one, over the seeds of all."""

from typing import Any

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrasts
from datasetdm.reports.joining import join

VALUES = {
    "real": {0: 0.30, 1: 0.28, 2: 0.33},
    "both": {0: 0.36, 1: 0.37, 2: 0.35},
    "oracle": {0: 0.46, 1: 0.47, 2: 0.45},
}
ACCEPTED = {0: 100, 1: 130, 2: 160}


def comparison(*seeds: int, **changed: Any) -> dict[str, Any]:
    """The `metrics.json` of a run over some seeds."""
    arms = summarize({arm: {seed: {"mask_ap": values[seed]} for seed in seeds} for arm, values in VALUES.items()})
    figures = {"arms": arms, "contrasts": contrasts(arms, ["mask_ap"])}
    mean = sum(VALUES["real"][seed] for seed in seeds) / len(seeds)
    return {
        "benchmark": "coco",
        "task": "instance",
        "world": "miniworld",
        "headline": ["mask_ap"],
        "num_real": 40,
        "num_generated": 400,
        "num_spliced": 10,
        "num_oracle": 50,
        "num_synthetic": round(sum(ACCEPTED[seed] for seed in seeds) / len(seeds)),
        **figures,
        "baseline": {},
        "dev": {"real": {"mask_ap": mean}},
        "iid": figures,
        **changed,
    }


def test_joined_seeds_are_as_if_they_had_run_together() -> None:
    together, joined = comparison(0, 1, 2), join({"a": comparison(2), "b": comparison(0, 1)})
    assert joined["dev"]["real"].pop("mask_ap") == pytest.approx(together["dev"]["real"].pop("mask_ap"))
    assert joined == together
    assert joined["contrasts"]["mask_ap"]["differences"]["both - real"]["interval"] is not None


def test_one_comparison_stays_as_it_is() -> None:
    assert join({"a": comparison(0, 1)}) == comparison(0, 1)


def test_arms_of_a_seed_may_have_run_in_several_sittings() -> None:
    def only(part: dict[str, Any], *arms: str, **changed: Any) -> dict[str, Any]:
        """What is left of a comparison of fewer arms; `real` is judged on dev."""
        figures = {"arms": {arm: part["arms"][arm] for arm in arms}}
        figures["contrasts"] = contrasts(figures["arms"], ["mask_ap"])
        return part | figures | {"iid": figures, "dev": part["dev"] if "real" in arms else {}} | changed

    first, second = only(comparison(0), "oracle", "both"), only(comparison(0, 1), "real", num_taught=7)
    joined = join({"a": first, "b": second, "c": only(comparison(1), "both")})
    assert list(joined["arms"]) == ["real", "both", "oracle"] and joined["num_taught"] == 7
    assert joined["contrasts"]["mask_ap"]["differences"]["both - real"]["seeds"] == pytest.approx(
        {"0": 0.06, "1": 0.09}
    )
    assert list(joined["arms"]["oracle"]["mask_ap"]["seeds"]) == ["0"]
    assert joined["dev"] == comparison(0, 1)["dev"]
    assert joined["num_synthetic"] == 115  # 100 of seed 0, once, and 130 of seed 1


def test_all_that_does_not_fit_is_named_at_once() -> None:
    other = comparison(1, num_real=20)
    del other["arms"]["oracle"]
    with pytest.raises(DatasetDMError) as error:
        join({"a.json": comparison(0, 1), "b.json": other})
    assert "num_real is 20 in b.json, but 40 in a.json" in str(error.value)
    assert "both with seed 1 is both in a.json and in b.json" in str(error.value)
    assert "real with seed 1 is both in a.json and in b.json" in str(error.value)
    assert "oracle" not in str(error.value)
