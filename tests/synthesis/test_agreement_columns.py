"""Drawn images that are read in several ways: the columns of the manifest, and the filter that uses them."""

import json

import numpy as np
import pandas as pd
import torch

from datasetdm import config
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.filters.agreement import DISAGREEING
from datasetdm.synthesis.generate import Annotator, make_requests, synthesize
from datasetdm.synthesis.manifest import manifest_rows

COLUMNS = {"flip_agreement", "timestep_agreement", "count_agreement"}


def drawn(backbone, task, reading: config.Decoder, **lowest: float):
    """The manifest of five drawn images, and what was accepted."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = build_decoder(task, backbone.feature_info, reading, None).eval()
    texts = ["a photo of a box", "two discs"]
    prompts = pd.DataFrame({"id": [0, 1], "prompt": texts, "categories": ["box", "disc"], "kind": ""})
    filters = config.Filter(score_threshold=0.0, min_area=0.0, min_agreement=lowest or None)
    asked = config.Synthesis(num_images=5, batch_size=4, filter=filters)
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=reading)
    images = list(synthesize(backbone, task, [annotator], make_requests(prompts, 5, 0), asked))
    rows = [row for image in images for row in manifest_rows(image, [annotator], backbone, asked)]
    return pd.DataFrame(rows), [image.acceptances["seed_0"] for image in images]


def test_the_columns_are_there_if_there_are_several_readings(backbone, task, settings) -> None:
    once, _ = drawn(backbone, task, settings)
    assert not COLUMNS & {*once} and "reading" not in once
    several = settings.model_copy(update={"reading": config.Reading(flip=True, timesteps=(200,))})
    manifest, accepted = drawn(backbone, task, several)
    assert {*manifest} - {*once} == COLUMNS | {"reading"}
    assert manifest[[*COLUMNS]].stack().between(0, 1).all() and manifest["flip_agreement"].nunique() > 1
    assert json.loads(manifest["reading"][0]) == {"flip": True, "timesteps": [200]}
    for row, acceptance in zip(manifest.to_dict("records"), accepted, strict=True):
        label, asked = (1, 2) if row["prompt"] == "two discs" else (0, 1)
        there = int((acceptance.target.labels == label).sum())
        assert row["count_agreement"] == min(there, asked) / max(there, asked)


def test_images_that_agree_too_little_are_rejected(backbone, task, settings) -> None:
    several = settings.model_copy(update={"reading": config.Reading(flip=True)})
    manifest, _ = drawn(backbone, task, several)
    limit = float(np.median(manifest["flip_agreement"]))
    stricter, _ = drawn(backbone, task, several, flip=limit)
    below = manifest["flip_agreement"] < limit
    assert 0 < below.sum() < len(below)
    assert (~stricter["accepted"] == below).all()
    assert {*stricter["rejected"].dropna()} == {DISAGREEING}
