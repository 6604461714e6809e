"""The page, the table and the asset of doubtful labels, on a drawn set with untrained models."""

import csv
import json
from pathlib import Path

from dagster import DagsterInstance, FilesystemIOManager, materialize

from datasetdm.cli import main
from datasetdm.config import load_params
from orchestration.label_quality import build_label_quality

LABELS = Path("data/labels/coco")


def test_the_labels_of_all_sets_are_judged(drawn: Path, capsys) -> None:
    assert main(["labels", "coco"]) == 0
    said = capsys.readouterr().out
    assert "The most doubtful labels" in said and "data/labels/coco/index.html" in said
    rows = list(csv.DictReader((LABELS / "labels.csv").open()))
    assert {row["set"] for row in rows} == {"synthetic", "real", "dev"}
    qualities = [float(row["quality"]) for row in rows]
    assert qualities == sorted(qualities) and all(0 <= value <= 1 for value in qualities)
    page = (LABELS / "index.html").read_text()
    assert "judged by the model of real/0" in page  # the synthetic images
    assert "judged by the model of synthetic/0" in page  # the labelled ones
    assert "datasetdm review coco --worst 50" in page
    assert "../../synthetic/coco/" in page and (LABELS / "figures/synthetic/index.js").exists()
    assert json.loads((LABELS / "record.json").read_text())["stage"] == "labels"
    assert (LABELS / "worst.png").exists()


def test_dagster_has_the_table(drawn: Path, tmp_path: Path) -> None:
    (asset,) = build_label_quality(load_params())
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = materialize(
            [asset], instance=instance, resources={"io_manager": FilesystemIOManager(base_dir=str(tmp_path / "values"))}
        )
        (made,) = run.asset_materializations_for_node(asset.node_def.name)
    assert run.success and "| image" in made.metadata["The most doubtful labels"].value
    assert 0 <= made.metadata["synthetic/mean_quality"].value <= 1
