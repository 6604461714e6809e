import numpy as np

from datasetdm.downstream.mixture import MixtureSampler


def test_the_mixture_keeps_the_weights_and_goes_through_all_items() -> None:
    draws = np.array(list(MixtureSampler([10, 1000], [1.0, 3.0], num_draws=2000, seed=0)))
    small = draws[draws < 10]
    assert len(draws) == 2000
    assert 0.21 < len(small) / 2000 < 0.29
    assert all(sorted(small[start : start + 10]) == list(range(10)) for start in range(0, 400, 10))
    large = draws[draws >= 10]
    assert len(set(large[:1000])) == 1000
    assert large.max() == 1009
