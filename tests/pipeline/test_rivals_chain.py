"""The whole chain with every way to read labels, through the benchmark of the rivals, in small."""

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.rivals import VARIANTS, parse_arguments, run, table
from datasetdm.decoder_methods import METHODS
from tests.pipeline.test_rounds import MINIWORLD

OUT = Path("rivals.json")


@pytest.mark.extended
def test_every_method_goes_through_the_same_stages(project, edit) -> None:
    project(MINIWORLD)
    edit("benchmarks.coco.decoder.category_from_prompt", True)
    arguments = parse_arguments(["coco", "--data", "data/rivals"])
    done = {method: run(arguments, method, OUT) for method in VARIANTS}
    content = json.loads(OUT.read_text(), parse_constant=pytest.fail)  # NaN and the like
    assert all(done[method] or method in content["measured"]["failed"] for method in METHODS)
    assert done["self_attention"] and done["cross_attention"]  # they need no training to find something
    measured = content["measured"]
    whole = [method for method in METHODS if done[method]]
    for method in whole:
        (stages,) = measured["stages"][method].values()
        assert [*stages][0::8] == ["ingest", "compare"]
        assert all(one["seconds"] >= 0 and one["seeds"] == [0] for one in stages.values())
        assert set(measured["test"][method]) == {"synthetic", "both"}
        assert "mask_ap" in measured["labels on dev"][method]["0"]
        manifest = pd.read_parquet(f"data/rivals/synthetic/coco_{method}/manifest.parquet")
        assert ("decoder_method" in manifest) == (method != "p_decoder")
    manifests = [pd.read_parquet(f"data/rivals/synthetic/coco_{method}/manifest.parquet") for method in whole]
    seeds = {tuple(zip(one["prompt"], one["generator_seed"], strict=True)) for one in manifests}
    assert len(seeds) == 1  # the same images
    lines = table("coco", measured).splitlines()
    assert sum(line.startswith("| ") for line in lines) == 2 + 1 + 2 * sum(done.values())
    before = OUT.read_bytes()
    assert run(arguments, "self_attention", OUT)  # a no-op, but for its seconds
    assert json.loads(OUT.read_text())["measured"]["test"] == json.loads(before)["measured"]["test"]
