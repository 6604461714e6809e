"""The registry of arms agrees with itself."""

from string import Formatter
from typing import get_args

from datasetdm.arms import ARMS, CONTRASTS, MADE_BY, MAIN_ARMS, Output, Training
from datasetdm.pipeline.stages import STAGES


def test_every_name_is_that_of_an_arm() -> None:
    assert set(MAIN_ARMS) <= set(ARMS)
    assert {name for pair in CONTRASTS for name in pair} <= set(ARMS)


def test_every_source_is_made_by_a_stage() -> None:
    assert tuple(MADE_BY) == get_args(Output)
    assert set(MADE_BY.values()) <= set(STAGES)


def test_a_teacher_is_an_arm_that_needs_none() -> None:
    teachers = [arm.teacher for arm in ARMS.values() if arm.teacher]
    assert teachers and not any(ARMS[teacher].teacher for teacher in teachers)


def test_explanations_ask_for_what_the_report_knows() -> None:
    known = {"num_oracle", "num_spliced", "num_taught", "num_pseudo", "threshold", "captions_written_here"}
    fields = {field for arm in ARMS.values() for _, field, _, _ in Formatter().parse(arm.explanation) if field}
    assert fields == known
    assert all(arm.explanation for arm in ARMS.values() if arm.control)


def test_summaries_ask_for_what_the_figures_file_has() -> None:
    known = {"num_real", "num_synthetic", "num_oracle", "num_spliced", "num_taught", "num_pseudo"}
    fields = {field for arm in ARMS.values() for _, field, _, _ in Formatter().parse(arm.summary) if field}
    assert fields == known
    assert all(arm.summary for arm in ARMS.values())


def test_a_training_is_written_as_arm_and_seed() -> None:
    assert str(Training("both", 0)) == "both/0"
