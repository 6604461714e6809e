import io
import logging
import sys

import pytest

from datasetdm.utils.progress import Progress, duration, print_progress, say, working_on


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="datasetdm")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_has_the_rate_and_the_time_left(lines):
    clock = Clock()
    progress = Progress(1000, "iterations", interval=20, clock=clock)
    for done in range(1, 1001):
        clock.now += 0.5
        progress.update(done)
    assert lines()[0] == "40 of 1000 iterations, 0.5 s each, 8 min left"
    assert len(lines()) == 24  # one every 20 of 500 seconds; the last step logs none, its loop is at its end


def test_steps_that_were_done_before_do_not_count_towards_the_rate(lines):
    clock = Clock()
    progress = Progress(1000, "iterations", done=900, interval=20, clock=clock)
    clock.now = 50
    progress.update(950, "loss 0.25")
    assert lines() == ["950 of 1000 iterations, 1 s each, 50 s left; loss 0.25"]


def test_lines_name_what_is_worked_on(lines):
    with working_on("downstream_coco both/0"):
        say("100 s")
    say("the end")
    assert lines() == ["downstream_coco both/0: 100 s", "the end"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (7100, "118 min"), (7200, "2 h 0 min"), (90000, "25 h 0 min")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_the_command_line_prints_plain_lines(capsys):
    logger = logging.getLogger("datasetdm")
    before = list(logger.handlers), logger.level
    try:
        for _ in range(2):
            print_progress()
        say("3 of 4 shards")
        logger.warning("one is %s", "damaged")
    finally:
        logger.handlers, logger.level = before
    assert capsys.readouterr().out == "3 of 4 shards\nwarning: one is damaged\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_and_the_lines_above_it(monkeypatch):
    logger = logging.getLogger("datasetdm")
    before = list(logger.handlers), logger.level
    monkeypatch.setattr(sys, "stdout", Terminal())
    try:
        print_progress()
        with working_on("downstream_coco both/0"):
            progress = Progress(200, "iterations", done=100)
            progress.update(150, "loss 0.25")
            say("a checkpoint is written")
            progress.update(200)
    finally:
        logger.handlers, logger.level = before
    shown = sys.stdout.getvalue()
    assert "downstream_coco both/0:  50%" in shown and "100/200" in shown
    assert "downstream_coco both/0: a checkpoint is written\n" in shown
    assert not any("iterations, " in line for line in shown.splitlines())  # no lines in place of the bar
