"""`predict`: what is written for each kind of annotation, and what happens to odd files and interrupted runs."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.predict import predict, read_boxes

CATEGORIES = (Category(id=7, name="cat"), Category(id=90, name="dog"))


def objects(image: np.ndarray) -> Instances:
    """The brighter half of the image as a dog, and a doubtful cat."""
    height, width = image.shape[:2]
    masks = np.zeros((2, height, width), dtype=bool)
    masks[0, :, : width // 2] = True
    masks[1, : height // 2] = True
    scores = np.array([0.9, 0.1], dtype=np.float32)
    return Instances(masks=masks, labels=np.array([1, 0]), scores=scores, crowd=np.zeros(2, dtype=bool))


def labels(image: np.ndarray) -> SemanticMap:
    return SemanticMap.of((image[..., 0] > 100).astype(np.uint8))


def depth(image: np.ndarray) -> DepthMap:
    metres = image[..., 0].astype(np.float32) / 16
    return DepthMap(depth=metres, valid_mask=metres > 0)


@dataclass
class Model:
    """A predictor whose answer is known; it may be interrupted."""

    answer: Callable[[np.ndarray], Any]
    categories: tuple[Category, ...] = CATEGORIES
    stops_after: int = 1_000
    asked: list[Any] = field(default_factory=list)

    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
        if len(self.asked) == self.stops_after:
            raise KeyboardInterrupt
        self.asked.append(prompt_boxes)
        return [self.answer(image) for image in images]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of odd sizes and kinds in folders with odd names, one of them turned by EXIF, and one that is none."""
    folder, rng = tmp_path / "my photos", np.random.default_rng(0)
    (folder / "sub é").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(folder / "turned.JPG", exif=exif)
    Image.fromarray(rng.integers(0, 256, (7, 300), dtype=np.uint8)).save(folder / "sub é" / "grey wide.png")
    Image.fromarray(rng.integers(0, 256, (41, 23, 4), dtype=np.uint8)).save(folder / "alpha.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


SIZES = {"alpha.png": (41, 23), "sub é/grey wide.png": (7, 300), "turned.JPG": (50, 30)}


def test_objects_are_coco_json(photos: Path, tmp_path: Path) -> None:
    done = predict(photos, Model(objects), tmp_path / "out", threshold=0.5)
    assert (done.images, done.objects, list(done.unreadable)) == (3, 3, ["broken.jpg"])
    coco = COCO(tmp_path / "out" / "annotations.json")
    assert {image["file_name"]: (image["height"], image["width"]) for image in coco.imgs.values()} == SIZES
    for annotation in coco.anns.values():
        image = coco.imgs[annotation["image_id"]]
        mask = coco.annToMask(annotation)
        assert mask.shape == (image["height"], image["width"])
        assert mask[:, : image["width"] // 2].all() and not mask[:, image["width"] // 2 :].any()
        assert annotation["area"] == mask.sum() == coco_mask.area(annotation["segmentation"])
        assert (annotation["category_id"], annotation["iscrowd"]) == (90, 0)
        assert annotation["score"] == pytest.approx(0.9)
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert summary["images"] == 3 and list(summary["unreadable"]) == ["broken.jpg"]
    for name, (height, width) in SIZES.items():
        painted = Image.open(tmp_path / "out" / "overlays" / f"{name}.png")
        assert painted.height / painted.width == pytest.approx(height / width, rel=0.02)


def test_a_semantic_map_is_an_index_png(photos: Path, tmp_path: Path) -> None:
    predict(photos, Model(labels), tmp_path / "out", overlays=False)
    for name, (height, width) in SIZES.items():
        values = np.array(Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        assert values.shape == (height, width)
        assert values.dtype == np.uint8 and set(np.unique(values)) <= {0, 1}
    assert not (tmp_path / "out" / "overlays").exists()
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert summary["categories"][1] == {"value": 1, "id": 90, "name": "dog"}


def test_depth_is_a_png_of_16_bits(photos: Path, tmp_path: Path) -> None:
    predict(photos / "alpha.png", Model(depth), tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    values = np.array(Image.open(tmp_path / "out" / "depth" / "alpha.png.png"))
    pixels = np.array(Image.open(photos / "alpha.png").convert("RGB"))[..., 0]
    np.testing.assert_allclose(values / summary["units_per_metre"], pixels / 16, atol=1 / 256)


def test_poses_are_coco_keypoints_in_the_given_boxes(photos: Path, tmp_path: Path) -> None:
    points = np.zeros((1, 17, 3), dtype=np.float32)
    points[0, :5] = (3, 4, 0.9)
    points[0, 5:] = (6, 7, 0.1)

    def pose(image: np.ndarray) -> Persons:
        return Persons(
            keypoints=points,
            boxes=np.array([[1, 2, 10, 20]], dtype=np.float32),
            masks=np.zeros((1, *image.shape[:2]), dtype=bool),
            scores=np.array([0.8], dtype=np.float32),
            crowd=np.zeros(1, dtype=bool),
        )

    boxes = {
        "images": [{"id": 1, "file_name": "alpha.png"}],
        "annotations": [{"image_id": 1, "bbox": [1, 2, 10, 20]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    model = Model(pose, categories=(Category(id=1, name="person"),))
    predict(photos, model, tmp_path / "out", boxes=read_boxes(tmp_path / "boxes.json"))
    assert [len(asked[0]) for asked in model.asked] == [1, 0, 0]
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    first = content["annotations"][0]
    assert first["num_keypoints"] == 5 and first["keypoints"][:3] == [3, 4, 2] and first["keypoints"][-3:] == [0, 0, 0]
    assert len(first["keypoint_scores"]) == 17
    assert content["categories"][0]["keypoints"][0] == "nose"


def test_an_interrupted_run_continues(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(photos, Model(objects, stops_after=2), out)
    assert not (out / "annotations.json").exists()
    with (out / ".partial.jsonl").open("a") as stream:
        stream.write('{"file_name": "tur')  # killed while it wrote
    model = Model(objects)
    done = predict(photos, model, out)
    assert (len(model.asked), done.images, done.continued) == (1, 3, 2)
    whole = json.loads((out / "annotations.json").read_text())
    predict(photos, Model(objects), tmp_path / "again")
    assert whole == json.loads((tmp_path / "again" / "annotations.json").read_text())
    assert not (out / ".partial.jsonl").exists()
    with pytest.raises(KeyboardInterrupt):
        predict(photos, Model(objects, stops_after=1), out)
    other = Model(objects)
    predict(photos, other, out, threshold=0.05)  # another threshold: nothing is continued
    assert len(other.asked) == 3


def test_results_in_the_folder_of_the_images_are_not_annotated(photos: Path) -> None:
    predict(photos, Model(objects), photos / "found")
    assert predict(photos, Model(objects), photos / "found").images == 3


def test_mistakes(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="does not exist"):
        predict(tmp_path / "nothing", Model(objects), tmp_path / "out")
    with pytest.raises(DatasetDMError, match=r"None of the 1 images .* can be read"):
        predict(photos / "broken.jpg", Model(objects), tmp_path / "out")
    with pytest.raises(DatasetDMError, match="which holds the images"):
        predict(photos, Model(objects), photos)
    with pytest.raises(DatasetDMError, match="holds other files"):
        predict(photos, Model(objects), photos / "sub é")


def test_the_package_is_light_until_it_is_used() -> None:
    lines = "import datasetdm, sys; assert not {'torch', 'mlflow', 'numpy'} & set(sys.modules); datasetdm.read_image"
    subprocess.run([sys.executable, "-c", lines], check=True, cwd=Path(__file__).parents[2])
