"""The measurements of speed: what they compare is really done. Times themselves are not tested."""

from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO

from benchmarks.performance.ingest import CHOSEN, _choose_at_random, _ingest
from benchmarks.performance.measurement import Measurement, _measured, in_turn
from benchmarks.performance.paper import synthesize_like_the_paper
from benchmarks.performance.simulated_coco import simulate_coco
from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.diffusion import load_backbone
from datasetdm.synthesis.generate import Annotator
from datasetdm.tasks.instance import InstanceTask
from datasetdm.utils.images import read_image

BACKBONE = Path(__file__).parents[2] / "data/backbones/miniworld"


def test_a_ratio_above_one_means_better() -> None:
    common = {"unit": "", "of": ""}
    assert Measurement(ours=8, reference=2, higher_is_better=True, **common).ratio == 4
    assert Measurement(ours=8, reference=2, higher_is_better=False, **common).ratio == 0.25


def test_ways_are_run_in_turn_and_the_first_call_is_not_counted() -> None:
    calls: list[str] = []
    in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3


def test_the_simulated_data_set_is_valid_and_both_ways_select_from_it(tmp_path: Path) -> None:
    root = simulate_coco(tmp_path / "coco", images=800, objects=4000)
    coco = COCO(str(root / "annotations/instances_train2017.json"))
    assert len(coco.imgs) == 800 and len(coco.anns) == 4000 and len(coco.cats) == 80
    assert CHOSEN == 400 and coco.annToMask(coco.anns[1]).any()
    _choose_at_random(root)
    simulate_coco(root, images=800, objects=4000)  # it is there: nothing is written


def test_ingest_takes_the_simulated_data_set(tmp_path: Path) -> None:
    _ingest(simulate_coco(tmp_path / "coco", images=10_000, objects=3000))  # raises if it were not valid


def test_the_reference_draws_and_annotates(tmp_path: Path) -> None:
    backbone = load_backbone(config.Backbone(path=str(BACKBONE), image_size=128), "cpu")
    task = InstanceTask([Category(id=1, name="dog"), Category(id=2, name="car")])
    reading = config.Decoder(hidden_dim=32, num_heads=4, num_queries=3, num_layers=1, feedforward_dim=16)
    decoder = build_decoder(task, backbone.feature_info, reading, None).eval()
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=reading)
    before = backbone.unet.attn_processors
    torch.manual_seed(0)
    for folder in ("one", "two"):
        synthesize_like_the_paper(
            backbone,
            task,
            annotator,
            ["two dogs", "a car"],
            tmp_path / folder,
            guidance_scale=4.0,
            scheduler="ddim",
            steps=3,
        )
    first, second = (read_image(tmp_path / folder / "images/000000.png") for folder in ("one", "two"))
    np.testing.assert_array_equal(first, second)
    assert first.std() > 1 and (tmp_path / "one/annotations/reference.json").exists()
    assert {*backbone.unet.attn_processors} == {*before}
    assert all(
        type(one) is type(other)
        for one, other in zip(backbone.unet.attn_processors.values(), before.values(), strict=True)
    )


def _half() -> float:
    return 0.5


def test_a_function_may_time_itself() -> None:
    seconds, peak = _measured(_half)
    assert seconds == 0.5 and peak > 0
    assert _measured(lambda: None)[0] < 0.5
