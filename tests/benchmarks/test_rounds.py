"""The study of rounds knows what is measured, so that it can be made bit by bit."""

from benchmarks.rounds import is_measured


def test_a_run_is_made_unless_all_its_seeds_are_measured() -> None:
    measured = {"both on test": {"static": {"200": {"0": 0.1, "1": 0.2}}, "looped": {"200": {"0": 0.1}}}}
    assert is_measured(measured, "static", 200, [0, 1])
    assert not is_measured(measured, "static", 200, [0, 2])
    assert not is_measured(measured, "static", 400, [0])
    assert not is_measured(measured, "looped", 200, [0, 1])
    assert not is_measured({}, "static", 200, [0])
