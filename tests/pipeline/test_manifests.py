"""What lies where in the published sets, and that their manifests say so."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools.coco import COCO

from datasetdm.cli import main
from datasetdm.pipeline.stages.synthesize import folders
from datasetdm.transforms.splice import tile_boxes

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


def names(folder: str) -> set[str]:
    return {path.name for path in (Path("data/synthetic/coco") / folder).iterdir()}


def test_rejected_images_lie_apart_and_splices_say_what_they_are_made_of(project, edit) -> None:
    project(MINIWORLD)
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    first = pd.read_parquet("data/synthetic/coco/manifest.parquet")
    assert names("images") == set(first["image"]) and not names("rejected/images")
    edit("benchmarks.coco.synthesis.filter.score_threshold", float(first["best_score"].nlargest(2).iloc[1]))
    assert main(["run", "coco", "--until", "augment"]) == 0

    manifest = pd.read_parquet("data/synthetic/coco/manifest.parquet")
    accepted = set(manifest.loc[manifest["accepted"], "image"])
    assert names("images") == accepted and names("rejected/images") == set(first["image"]) - accepted
    assert 0 < len(accepted) < 5
    for row in manifest.itertuples():
        assert row.folder == ("images" if row.image in accepted else "rejected/images")
    annotated = COCO("data/synthetic/coco/annotations/seed_0.json").imgs.values()
    assert {image["file_name"] for image in annotated} == accepted
    kept = COCO("data/synthetic/coco/rejected/annotations/seed_0.json").imgs.values()
    assert {image["file_name"] for image in kept} == set(first["image"]) - accepted
    assert manifest["shard"].tolist() == [f"shard_{index // 2:05d}" for index in range(5)]
    assert manifest["prompt_kind"].isin(["plain", "template"]).all() and manifest["prompt_categories"].all()

    spliced = pd.read_parquet("data/augmented/coco/manifest.parquet")
    assert set(spliced["image"]) == {path.name for path in Path("data/augmented/coco/images").iterdir()}
    for row in spliced.itertuples():
        with Image.open(f"data/augmented/coco/images/{row.image}") as picture:
            pixels = np.array(picture)
        grid = tuple(map(int, row.grid.split("x")))
        assert [list(box) for box in row.boxes] == tile_boxes((128, 128), grid, row.max_size)
        for name, (x, y, width, height) in zip(row.sources, row.boxes, strict=True):
            with Image.open(f"{row.source_folder}/images/{name}") as tile:
                shrunk = np.array(tile.resize((width, height), Image.Resampling.BOX))
            part = pixels[y : y + height, x : x + width]
            assert abs(part.astype(int) - shrunk.astype(int)).max() <= 1


def test_an_image_that_one_decoder_accepts_is_no_rejected_one() -> None:
    manifest = pd.DataFrame(
        {"image": ["a", "a", "b", "b", "c", "c"], "accepted": [True, False, False, False, True, True]}
    )
    assert folders(manifest).tolist() == [*["images"] * 2, *["rejected/images"] * 2, *["images"] * 2]
