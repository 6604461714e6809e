"""A row of the prompt table that says what it shows counts as naming it, whatever words the prompt uses."""

import numpy as np
import pandas as pd
import pytest
import torch

from datasetdm import config
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.synthesis.generate import Annotator, make_requests, synthesize


def fresh(backbone, task, settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_decoder(task, backbone.feature_info, settings, None).eval()


def found(backbone, task, settings, categories: str, kind: str = "mine", **changes):
    table = pd.DataFrame({"id": [4], "prompt": ["a photo of a puppy"], "categories": [categories], "kind": [kind]})
    reading = settings.model_copy(update={"category_from_prompt": True})
    decoder = fresh(backbone, task, reading)
    asked = config.Synthesis(num_images=6, filter=config.Filter(score_threshold=0.0, min_area=0.0, **changes))
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=reading)
    requests = make_requests(table, 6, 0)
    return requests, [one.acceptances["seed_0"] for one in synthesize(backbone, task, [annotator], requests, asked)]


@pytest.mark.parametrize(("categories", "labels"), [("", set()), ("disc", {1}), ("box", {0}), ("box;disc", {0, 1})])
def test_the_column_rules_categories_in(backbone, task, settings, categories, labels) -> None:
    requests, acceptances = found(backbone, task, settings, categories)
    seen = {label for acceptance in acceptances for label in acceptance.target.labels.tolist()}
    assert seen <= labels and bool(seen) == bool(labels)
    assert requests[0].categories == tuple(filter(None, categories.split(";"))) and requests[0].kind == "mine"


def test_what_the_column_names_has_to_be_there(backbone, task, settings) -> None:
    _, free = found(backbone, task, settings, "box;disc")
    _, asked = found(backbone, task, settings, "box;disc", require_prompted=True)
    for before, after in zip(free, asked, strict=True):
        both = {*before.target.labels.tolist()} == {0, 1}
        np.testing.assert_array_equal(before.target.masks, after.target.masks)
        assert before.rejected is None and (after.rejected is None) == both


def test_a_decoder_does_not_find_what_it_was_not_shown(backbone, task, settings) -> None:
    decoder = fresh(backbone, task, settings)
    table = pd.DataFrame({"id": [0], "prompt": ["a photo of a box"], "categories": [""], "kind": [""]})
    asked = config.Synthesis(num_images=8, filter=config.Filter(score_threshold=0.0, min_area=0.0))

    def labels(learnt):
        decoder.learnt = learnt
        annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=settings)
        drawn = synthesize(backbone, task, [annotator], make_requests(table, 8, 0), asked)
        return {label for one in drawn for label in one.acceptances["seed_0"].target.labels.tolist()}

    assert labels((1,)) == {1} and labels((0,)) == {0} and labels(()) == set()
