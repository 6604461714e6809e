"""The measurement of `adapt`: its domain, and what its table shows."""

import numpy as np

from benchmarks.adaptation import samples, table, thermal
from benchmarks.backbone.worlds import take_shot


def test_the_domain_is_the_embedded_world_without_colour_and_with_light_and_dark_exchanged() -> None:
    dark = np.zeros((24, 37, 3), np.uint8)
    dark[:, 20:] = (250, 240, 20)
    seen = thermal(dark)
    assert seen.shape == dark.shape and (seen[..., 0] == seen[..., 1]).all() and (seen[..., 1] == seen[..., 2]).all()
    assert seen[:, :15].min() == 255 > 100 > seen[:, 25:].max()
    (shown,), plain = samples("dev", 1, 3), take_shot("dev", 0, seed=3).sample
    assert (shown.image == thermal(plain.image)).all() and shown.caption == plain.caption
    assert (shown.target.masks == plain.target.masks).all()


def test_the_table_has_a_row_per_model() -> None:
    scores = {
        name: {seed: {"mask_ap": value + int(seed) / 10, "mask_ap_empty_prompt": 0.1} for seed in ("0", "1")}
        for name, value in (("as it is", 0.2), ("adapted", 0.3))
    }
    rows = table({"as it is": 0.25, "adapted": 0.125}, scores).splitlines()
    assert rows[2] == "| as it is | 0.250 | 0.250 | 0.200, 0.300 | 0.100 |"
    assert rows[3] == "| adapted | 0.125 | 0.350 | 0.300, 0.400 | 0.100 |"
