"""A chain whose labels are promised: the threshold comes from dev, and the set says what was promised."""

import json

import pandas as pd
import pytest

from datasetdm.calibration.calibration import Calibration
from datasetdm.calibration.confidence import Confidence
from datasetdm.calibration.promise import Trial
from datasetdm.cli import main
from datasetdm.pipeline import calibrated
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.report_facts import report_facts

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
FILTER = "benchmarks.coco.synthesis.filter"


@pytest.mark.slow
def test_the_chain_with_a_promise(project, edit, monkeypatch, capsys) -> None:
    folder = project(MINIWORLD)
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    by_hand = pd.read_parquet(folder / "data/synthetic/coco/manifest.parquet")
    assert "confidence" not in by_hand and not (folder / "data/synthetic/coco/calibration").exists()

    # Four iterations teach nothing, and three images show nothing: no promise.
    edit(FILTER, {"target_precision": 0.05, "min_area": 0.0})
    capsys.readouterr()
    assert main(["synthesize", "coco"]) != 0
    said = capsys.readouterr().err
    assert "target_precision of coco is 0.05, which no threshold keeps" in said and "ingest.num_dev" in said
    (unit,) = (path for path in (folder / "data/.work/calibrate").iterdir() if path.is_dir())
    tried = Calibration.from_json((unit / calibrated.FILE).read_text())
    assert tried.fitted + tried.tested == 3 and tried.chosen is None

    kept = Trial(threshold=0.0, images=40, parts=50, precision=0.96, kept=True)
    made = Calibration(
        target_precision=0.06, confidence=0.9, curve=Confidence(1.0, 2.0, {}), trials=(kept,), fitted=20, tested=40
    )
    monkeypatch.setattr(calibrated, "_calibrate", lambda context, seed: made)
    edit(FILTER, {"target_precision": 0.06, "min_area": 0.0})
    assert main(["synthesize", "coco"]) == 0
    manifest = pd.read_parquet(folder / "data/synthetic/coco/manifest.parquet")
    accepted = manifest[manifest["accepted"]]
    assert (accepted["confidence"] == accepted["score"]).all()
    assert accepted["confidence"].mean() > by_hand["score"].mean(), "an offset of 2 raises all of them"
    published = json.loads((folder / "data/synthetic/coco/calibration/seed_0.json").read_text())
    assert published["trials"][0]["precision"] == 0.96
    facts = report_facts(open_context("coco"), {"num_generated": 5, "num_synthetic": 5, "num_spliced": 2, "dev": {}})
    (said,) = (text for title, text in facts.items() if "promised" in title)
    assert "at least 6 % are right" in said and "96.0 % of their 50 labels are right" in said
