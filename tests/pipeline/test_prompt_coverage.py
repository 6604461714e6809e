"""Coverage of prompts through the stage: on the embedded world, on a foreign export, with and without categories."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasetdm.cli import main
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.labelled_objects import objects_per_image
from datasetdm.pipeline.prompt_coverage import known_variety
from datasetdm.prompts.variety import FIGURES
from datasetdm.utils.files import write_image

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 30, "num_val": 5},
}
TABLE = Path("data/prompts/coco.csv")


def prompts() -> pd.DataFrame:
    return pd.read_csv(TABLE, keep_default_na=False)


def write_export(root: Path) -> Path:
    """A user's COCO export: odd sizes, no captions; forklifts with two pallets, vests with helmets, never mixed."""
    names = ["forklift", "pallet", "safety vest", "hard_hat"]
    rng = np.random.default_rng(0)
    for split, count in (("train2017", 20), ("val2017", 4)):
        images, annotations = [], []
        for number in range(1, count + 1):
            width, height = [(97, 64), (64, 120), (80, 80), (150, 70)][number % 4]
            write_image(root / split / f"{number}.png", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
            for part, label in enumerate((1, 2, 2) if number % 2 else (3, 4)):
                left = 4 + 18 * part
                outline = [left, 10, left + 14, 10, left + 14, 50, left, 50]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": label, "iscrowd": 0}
                    | {"segmentation": [outline], "bbox": [left, 10, 14, 40], "area": 560}
                )
        categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


def test_selection_on_the_embedded_world(project, edit, capsys) -> None:
    project(MINIWORLD)
    edit("benchmarks.coco.ingest.num_real", 8)
    edit("benchmarks.coco.prompts", {"num_prompts": 60, "max_objects": 3})
    assert main(["ingest", "coco"]) == main(["write_prompts", "coco"]) == 0
    plain, first = prompts(), known_variety(open_context("coco"))
    assert set(first) == set(FIGURES) and first["too_long"] == 0

    edit("benchmarks.coco.prompts.selection", {"candidates": 4, "balance": "real"})
    edit("benchmarks.coco.prompts.companions", "real")
    assert main(["write_prompts", "coco"]) == 0
    chosen, figures = prompts(), known_variety(open_context("coco"))
    assert chosen["id"].tolist() == list(range(60)) and not chosen.equals(plain)
    assert figures["distinct"] > first["distinct"]
    assert figures["company_distance"] < first["company_distance"]
    assert list(Path("data/.work/embed_prompts").glob("*/embeddings.safetensors"))
    content, made = TABLE.read_bytes(), {file: file.stat().st_mtime_ns for file in Path("data/.work").rglob("*.safe*")}
    assert main(["write_prompts", "coco"]) == 0
    assert TABLE.read_bytes() == content
    assert {file: file.stat().st_mtime_ns for file in Path("data/.work").rglob("*.safe*")} == made

    # A table that was edited since has other figures.
    TABLE.write_bytes(content + b"60,a dog,dog,mine\n")
    assert known_variety(open_context("coco")) == {}
    assert main(["write_prompts", "coco"]) == 0
    assert known_variety(open_context("coco"))["prompts"] == 61

    edit("benchmarks.coco.prompts.selection.duplicates", 0.3)
    TABLE.unlink()
    capsys.readouterr()
    assert main(["write_prompts", "coco"]) == 0
    assert "prompts instead of 60" in capsys.readouterr().out and len(prompts()) < 60


def test_a_foreign_export_without_captions(project, edit, tmp_path, capsys) -> None:
    project({"format": "coco", "root": str(write_export(tmp_path / "export"))})
    edit("backbone.allow_mismatch", True)
    edit("benchmarks.coco.ingest.num_real", 8)
    edit("benchmarks.coco.seeds", [0, 1])
    dense = {"num_prompts": 40, "min_objects": 3, "max_objects": 4, "plain_fraction": 0.1, "companions": "real"}
    edit("benchmarks.coco.prompts", {**dense, "selection": {}})
    assert main(["ingest", "coco"]) == main(["write_prompts", "coco"]) == 0
    images = objects_per_image(open_context("coco"))
    assert 8 < len(images) <= 16  # of two seeds, each image once
    assert {tuple(sorted(image.items())) for image in images} == {
        (("forklift", 1), ("pallet", 2)),
        (("hard_hat", 1), ("safety vest", 1)),
    }
    frame = prompts()
    pairs = frame["categories"].map(lambda names: frozenset(names.split(";"))).value_counts()
    assert pairs[frozenset({"forklift", "pallet"})] > 3 * pairs.get(frozenset({"forklift", "hard_hat"}), 0)
    assert not frame["prompt"].str.contains("_").any()
    figures = known_variety(open_context("coco"))
    assert figures["objects_per_prompt"] > 2.5 and figures["fewest_per_category"] >= 5


def test_prompts_that_the_text_encoder_cannot_read_are_reported(project, edit, capsys) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == main(["write_prompts", "coco"]) == 0
    assert "cut off" not in capsys.readouterr().out
    TABLE.write_text("id,prompt,categories,kind\n0," + "a dog and " * 12 + "a bird,dog;bird,mine\n1,a dog,dog,mine\n")
    assert main(["write_prompts", "coco"]) == 0
    assert "1 of 2 prompts are longer than the 32 tokens" in capsys.readouterr().out
    assert known_variety(open_context("coco"))["too_long"] == 1


@pytest.mark.slow
def test_a_task_without_categories_has_the_company_of_the_scene(project, edit, capsys) -> None:
    world = {"distribution": "room", "num_train": 60, "num_val": 4}
    project({"format": "nyu", "root": "data/raw/miniworld/nyu", "miniworld": world})
    edit("benchmarks.coco.task", {"name": "depth", "min_depth": 0.1, "max_depth": 10.0})
    edit("benchmarks.coco.downstream", {"model": "upernet_r18", "image_size": 64, "iterations": 1, "batch_size": 2})
    edit("benchmarks.coco.downstream.learning_rate", 0.001)
    subjects = {"subjects": ["chair", "lamp", "clock"], "scenes": ["room"], "num_prompts": 20}
    edit("benchmarks.coco.prompts", {**subjects, "companions": "real", "selection": {"balance": "real"}})
    assert main(["ingest", "coco"]) == main(["write_prompts", "coco"]) == 0
    assert "things of the same scene share a prompt" in capsys.readouterr().out
    figures = known_variety(open_context("coco"))
    assert figures["prompts"] == 20 and "company_distance" not in figures
