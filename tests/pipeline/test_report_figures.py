"""Every image of every set is on the report, with its annotation, whether it was accepted or not."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.report_figures import write_all_figures
from datasetdm.pipeline.unlabelled_images import save_labelled

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
REASON = "an object of doubtful score"


@pytest.fixture
def context(project) -> Context:
    """Real images, which also stand for the synthetic ones: the first of four is rejected, and none is spliced."""
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    context = open_context("coco")
    task, real = context.task(), context.paths.real
    samples = list(standard_format(*task.kind).load(real, "few_shot_0"))
    synthetic, spliced = context.paths.synthetic, context.paths.augmented
    for folder, some in ((synthetic, samples[1:]), (synthetic / "rejected", samples[:1]), (spliced, [])):
        (folder / "images").mkdir(parents=True)
        save_labelled(task, folder, "seed_0", some, real / "images")
    return context


def manifest(context: Context) -> pd.DataFrame:
    samples = standard_format(*context.task().kind).load(context.paths.real, "few_shot_0")
    rows: list[dict[str, Any]] = [
        {
            "image": sample.name,
            "folder": "images" if number else "rejected/images",
            "shard": "shard_00000",
            "decoder": "seed_0",
            "accepted": number > 0,
            "rejected": None if number else REASON,
            "score": number / 4,
            "prompt_id": number,
            "prompt_categories": "dog;car",
            "seed": 7,
        }
        for number, sample in enumerate(samples)
    ]
    return pd.DataFrame(rows)


def read(file: Path) -> Any:
    return json.loads(file.read_text().split(",", 1)[1].removesuffix(");\n"))


def test_accepted_and_rejected_images_are_shown_in_the_order_of_the_manifest(context: Context, tmp_path: Path) -> None:
    sets = write_all_figures(context, manifest(context), tmp_path / "figures")
    assert [(one.name, one.count, bool(one.scores)) for one in sets] == [
        ("synthetic_seed_0", 4, True),
        ("real", 4, False),
        ("spliced", 0, False),
    ]
    assert sets[0].root == "../../synthetic/coco/" and sets[1].root == "../../real/coco/"
    rows = read(tmp_path / "figures/synthetic_seed_0/part-00000.js")
    assert [row["rejected"] for row in rows] == [REASON, None, None, None]
    assert [row["scores"]["score"] for row in rows] == [0, 0.25, 0.5, 0.75]
    for row, listed in zip(rows, manifest(context).to_dict("records"), strict=True):
        assert row["file"] == f"{listed['folder']}/{listed['image']}" and row["layer"]["areas"]
        assert (context.paths.synthetic / row["file"]).is_file()
        assert row["origin"]["shard"] == "shard_00000" and row["origin"]["seed"] == "7"
        names = {context.task().categories[label].name for label in row["labels"]}
        assert {"dog", "car"} <= names


def test_a_manifest_of_other_images_is_refused(context: Context, tmp_path: Path) -> None:
    other = manifest(context).assign(image=[f"{number}.png" for number in range(4)])
    with pytest.raises(DatasetDMError, match="datasetdm synthesize coco"):
        write_all_figures(context, other, tmp_path / "figures")
