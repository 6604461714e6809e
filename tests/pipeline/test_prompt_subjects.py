"""What prompts name and decoders label, on an export that is not the miniworld's: odd sizes, unused categories."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from datasetdm.cli import main
from datasetdm.config import load_params
from datasetdm.pipeline.backbone_match import mismatch
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.prompt_subjects import not_shown_to, subjects, without_example
from datasetdm.utils.files import write_image

Export = Callable[..., Path]
CATEGORIES = ("toys", "dog", "car", "bus")


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """A COCO data set of 16 + 6 images in four sizes as Roboflow writes it: `toys` is its root, nobody drew a bus."""

    def write(names: tuple[str, ...] = CATEGORIES) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / "export"
        for split, count in (("train2017", 16), ("val2017", 6)):
            images, annotations = [], []
            for number in range(1, count + 1):
                width, height = [(97, 64), (64, 120), (80, 80), (150, 70)][number % 4]
                name = f"{number}.png"
                write_image(root / split / name, rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
                images.append({"id": number, "file_name": name, "width": width, "height": height})
                for part, label in enumerate((1, 2)):
                    left = 5 + 30 * part
                    outline = [left, 10, left + 24, 10, left + 24, 50, left, 50]
                    box = [left, 10, 24, 40]
                    annotations.append(
                        {"id": len(annotations) + 1, "image_id": number, "category_id": label, "iscrowd": 0}
                        | {"segmentation": [outline], "bbox": box, "area": 960}
                    )
            categories = [
                {"id": number, "name": name, "supercategory": "toys" if number else "none"}
                for number, name in enumerate(names)
            ]
            file = root / "annotations" / f"instances_{split}.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
        return root

    return write


def test_what_nobody_labelled_is_neither_prompted_nor_labelled(project, edit, export, capsys) -> None:
    project({"format": "coco", "root": str(export())})
    for name, value in {"num_prompts": 40, "max_objects": 2}.items():
        edit(f"benchmarks.coco.prompts.{name}", value)
    edit("benchmarks.coco.synthesis.num_images", 8)
    edit("backbone.allow_mismatch", True)
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    assert "no labelled image shows them: toys, bus." in capsys.readouterr().out
    table = pd.read_csv("data/prompts/coco.csv")
    assert {name for names in table["categories"] for name in names.split(";")} == {"dog", "car"}
    assert not table["prompt"].str.contains("toy|bus").any()
    assert json.loads(Path("data/decoders/coco/0/config.json").read_text())["learnt"] == [1, 2]
    # The table is the person's: a category that nobody labelled may be named, and is still not labelled.
    table.loc[:, "prompt"], table.loc[:, "categories"] = "a photo of a bus and a dog", "bus;dog"
    table.to_csv("data/prompts/coco.csv", index=False)
    assert main(["synthesize", "coco"]) == 0
    annotations = COCO("data/synthetic/coco/annotations/seed_0.json").anns.values()
    assert {annotation["category_id"] for annotation in annotations} <= {1, 2}
    assert len(annotations)


def test_what_the_settings_name_is_prompted(project, edit, export) -> None:
    project({"format": "coco", "root": str(export())})
    assert main(["ingest", "coco"]) == 0
    context = open_context("coco")
    assert [one.name for one in subjects(context)] == ["dog", "car"]
    assert [one.name for one in without_example(context)] == ["toys", "bus"]
    assert not_shown_to(context) == {}
    edit("benchmarks.coco.prompts.subjects", ["bus"])
    assert [one.name for one in subjects(open_context("coco"))] == ["bus"]
    assert without_example(open_context("coco")) == ()


def test_each_seed_has_other_categories(project, edit, export) -> None:
    project({"format": "coco", "root": str(export())})
    edit("benchmarks.coco.seeds", [0, 1])
    assert main(["ingest", "coco"]) == 0
    file = Path("data/real/coco/ingest.json")
    figures = json.loads(file.read_text())
    figures["few_shot_1"]["objects_per_category"] |= {"car": 0, "bus": 2}
    file.write_text(json.dumps(figures))
    context = open_context("coco")
    assert [one.name for one in subjects(context)] == ["dog", "car", "bus"]
    assert not_shown_to(context) == {0: ["bus"], 1: ["car"]}


def foreign(folder: Path) -> Path:
    """The embedded model without the note that it draws nothing but the embedded world."""
    embedded = Path(load_params().backbone.path).resolve()
    folder.mkdir()
    for part in embedded.iterdir():
        if part.is_dir():
            (folder / part.name).symlink_to(part)
    index = json.loads((embedded / "model_index.json").read_text())
    assert index.pop("_world") == "miniworld"
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_words_that_the_model_does_not_know_are_refused_before_any_work(
    project, edit, export, capsys, tmp_path
) -> None:
    project({"format": "coco", "root": str(export(("toys", "okapi", "wine glass", "bus")))})
    edit("backbone.path", str(foreign(tmp_path / "foreign")))
    for command in ("run", "train_decoder", "write_prompts"):
        assert main([command, "coco"]) == 2
        error = capsys.readouterr().err
        assert "does not know these words of what it is asked to draw: glass, okapi, wine." in error
        assert "backbone.allow_mismatch" in error
    assert not Path("data/prompts/coco.csv").exists() and not Path("data/decoders").exists()
    edit("backbone.allow_mismatch", True)
    assert main(["write_prompts", "coco"]) == 0
    edit("backbone.allow_mismatch", False)
    edit("benchmarks.coco.prompts.subjects", ["dog"])
    assert main(["write_prompts", "coco"]) == 0


def test_the_embedded_model_does_not_draw_photographs_whatever_their_words(project, edit, export, capsys) -> None:
    project({"format": "coco", "root": str(export())})  # a dog and a car, which the embedded world has, too
    assert main(["run", "coco"]) == 2
    assert "draws the embedded world and nothing else" in capsys.readouterr().err
    edit("backbone.allow_mismatch", True)
    assert main(["write_prompts", "coco"]) == 0
    assert "draws the embedded world" in (mismatch(open_context("coco")) or "")
