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


def test_a_dataset_can_stop_early_and_the_others_take_its_share() -> None:
    def drawn(until: list[float], weights: tuple[float, float] = (1.0, 3.0)) -> np.ndarray:
        return np.array(list(MixtureSampler([10, 1000], weights, num_draws=2000, seed=0, until=until)))

    whole, early = drawn([1.0, 1.0]), drawn([1.0, 0.7])
    assert np.array_equal(whole, drawn([0.5, 0.5]))  # something has to be used to the end
    assert 0.21 < np.mean(early[:1400] < 10) < 0.29
    assert early[1400:].max() < 10
    assert early.size == whole.size
    # Pretraining on one set, then training on another.
    assert (drawn([1.0, 0.5], (0.0, 1.0)) < 10).tolist() == [False] * 1000 + [True] * 1000


def test_a_resumed_training_continues_in_the_same_order() -> None:
    def drawn(start: int) -> list[int]:
        return list(MixtureSampler([10, 100], [1.0, 1.0], num_draws=300, seed=3, start=start, until=[1.0, 0.5]))

    assert drawn(120) == drawn(0)[120:]
