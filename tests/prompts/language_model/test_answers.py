"""Answers in the forms in which language models give them."""

import pytest

from datasetdm.prompts.language_model.answers import lines_of

WANTED = ["An okapi drinks from a river.", "Two okapis stand by a fence."]


@pytest.mark.parametrize(
    "answer",
    [
        "An okapi drinks from a river.\nTwo okapis stand by a fence.",
        "1. An okapi drinks from a river.\n2. Two okapis stand by a fence.\n",
        "1) An okapi drinks from a river.\r\n\r\n 2) Two okapis stand by a fence.",
        "- An okapi drinks from a river.\n* Two okapis stand by a fence.",
        "•   “An okapi drinks from a river.”\n• 'Two okapis stand by a fence.'",
        "**1.** An okapi drinks from a river.\n**2.** **Two okapis stand by a fence.**",
        "1. An okapi drinks from a river. 2. Two okapis stand by a fence.",
        "okapi: An okapi drinks from a river.\nOkapi: Two okapis stand by a fence.",
        "Description 1: An okapi drinks from a river.\nDescription 2: Two okapis stand by a fence.",
        '["An okapi drinks from a river.", "Two okapis stand by a fence."]',
        '```json\n["An okapi drinks from a river.",\n "Two okapis stand by a fence."]\n```',
        'Sure:\n{"captions": [{"title": "one", "text": "An okapi drinks from a river."}, '
        '{"title": "two", "text": "Two okapis stand by a fence."}]}',
        "<think>The user wants\n1. okapis</think>\nAn okapi drinks from a river.\nTwo okapis stand by a fence.",
    ],
)
def test_lines_lose_their_form_and_nothing_else(answer: str) -> None:
    assert lines_of(answer, "okapi") == WANTED


def test_what_is_no_list_stays_and_is_left_to_the_checks() -> None:
    assert lines_of("Sure! Here are 2:\n\n1. A dog [sic] at 10 a.m.\n2 dogs on a bench.", "dog") == [
        "Sure! Here are 2:",
        "A dog [sic] at 10 a.m.",
        "2 dogs on a bench.",
    ]
    assert lines_of("") == [] and lines_of(" \n\t\n") == []
    assert lines_of("[" * 5000) == ["[" * 5000]  # not even JSON's reader gets lost
    assert lines_of("<think>never ends") == []
