import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig

from datasetdm import config
from datasetdm.annotations.persons import KEYPOINTS, MIRRORED, Persons
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled, evaluate
from datasetdm.downstream.architectures.pose import crop_size
from datasetdm.downstream.pose import PoseModel
from datasetdm.downstream.pose.data import PersonCrops, augmented_matrix, crop, crop_matrix
from datasetdm.downstream.pose.networks import build_network
from datasetdm.downstream.registry import find_model
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.pose import PoseTask
from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks, heatmap_loss, to_cells

PERSON = Category(id=1, name="person")
TASK = PoseTask([PERSON])
POSE = DOWNSTREAM["pose"]
SIDE = 64


def make_settings(**changes: object) -> config.Downstream:
    values = {"model": "vitpose_tiny", "image_size": 32, "iterations": 2, "batch_size": 4, "learning_rate": 1e-3}
    return config.Downstream.model_validate({**values, **changes})


def architecture_of(name: str, image_size: int) -> PreTrainedConfig:
    return find_model("pose", name).build(make_settings(image_size=image_size), len(KEYPOINTS))


def draw_person(rng: np.random.Generator, number: int) -> Sample:
    """A grey image of one person: a pale upright bar with a differently coloured dot for every keypoint."""
    image = np.full((SIDE, SIDE, 3), 60, dtype=np.uint8)
    left, top = rng.integers(4, 28), rng.integers(2, 12)
    width, height = 24, 44
    image[top : top + height, left : left + width] = 140
    places = np.array([(3 + 6 * (k % 4), 3 + 9 * (k // 4)) for k in range(17)], dtype=np.float32)
    keypoints = np.full((1, 17, 3), 2, dtype=np.float32)
    keypoints[0, :, :2] = places * (0.9, 0.95) + rng.uniform(-1, 1, 2) + (left, top)
    for k, (x, y, _) in enumerate(keypoints[0]):
        cv2.circle(image, (round(float(x)), round(float(y))), 1, (15 * k, 255 - 15 * k, 40 * (k % 6)), -1)
    mask = np.zeros((1, SIDE, SIDE), dtype=bool)
    mask[0, top : top + height, left : left + width] = True
    target = Persons(
        keypoints=keypoints,
        boxes=np.array([[left, top, width, height]], dtype=np.float32),
        masks=mask,
        scores=np.ones(1, dtype=np.float32),
        crowd=np.zeros(1, dtype=bool),
    )
    return Sample(name=f"{number}.png", image=image, caption="", target=target, image_id=number + 1)


def save(root: Path, subset: str, samples: list[Sample]) -> Labelled:
    standard_format(*TASK.kind).save(root, subset, samples)
    return Labelled(folder=root, subset=subset)


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    rng = np.random.default_rng(0)
    return save(tmp_path_factory.mktemp("persons"), "train", [draw_person(rng, number) for number in range(6)])


@pytest.fixture(scope="module")
def trained(persons: Labelled, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("trained") / "real" / "0"
    metrics = POSE.train(
        make_settings(iterations=25, batch_size=8),
        task=TASK,
        datasets=[persons],
        dev=persons,
        seed=0,
        out=out,
        device="cpu",
    )
    return out, metrics


def crops_of(sources: list[Labelled], num_crops: int = 12, seed: int = 0) -> PersonCrops:
    return PersonCrops(
        sources, categories=[PERSON], size=(64, 48), cells=(32, 24), sigma=1.5, num_crops=num_crops, seed=seed
    )


# --- the training


def test_training_writes_a_folder_without_pickles_paths_or_left_overs(trained: tuple[Path, dict[str, float]]) -> None:
    out, metrics = trained
    names = ["config.json", "curves.csv", "metrics.json", "model.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert [path.name for path in out.parent.iterdir()] == ["0"]
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert 0 <= metrics["keypoint_ap"] <= 1
    assert "/tmp" not in (out / "config.json").read_text()


def test_the_loss_goes_down_and_the_rate_with_it(trained: tuple[Path, dict[str, float]]) -> None:
    rows = list(csv.DictReader((trained[0] / "curves.csv").open()))
    assert [int(row["iteration"]) for row in rows] == list(range(1, 26))
    assert np.mean([float(row["loss"]) for row in rows[-5:]]) < 0.7 * float(rows[0]["loss"])
    assert float(rows[-1]["learning_rate"]) < 0.1 * float(rows[5]["learning_rate"])


def test_a_trained_model_loads_and_predicts_a_person_per_box(
    trained: tuple[Path, dict[str, float]], persons: Labelled
) -> None:
    model = POSE.load(trained[0], "cpu")
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(64, 64), (50, 90), (33, 20)]]
    boxes = [np.array([[4, 4, 20, 40], [30, 10, 20, 20]]), np.zeros((0, 4)), np.array([[-3, 5, 30, 9]])]
    found = model.predict(images, boxes)
    assert [len(one) for one in found] == [2, 0, 1]
    for one, given, image in zip(found, boxes, images, strict=True):
        np.testing.assert_array_equal(one.boxes, given)
        assert one.masks.shape == (len(given), *image.shape[:2])
        assert ((one.keypoints[..., 2] >= 0) & (one.keypoints[..., 2] <= 1)).all()
        np.testing.assert_allclose(one.scores, one.keypoints[..., 2].mean(axis=1))
    alone = model.predict(images[:1], [boxes[0][1:]])[0]
    np.testing.assert_allclose(alone.keypoints[0], found[0].keypoints[1], atol=1e-3)
    assert model.predict([], []) == []
    whole = model.predict(images)  # without boxes each image is that of one person
    assert [one.boxes.tolist() for one in whole] == [[[0, 0, 64, 64]], [[0, 0, 90, 50]], [[0, 0, 20, 33]]]
    again = evaluate(model, TASK, standard_format(*TASK.kind).load(persons.folder, persons.subset))
    assert again == pytest.approx(trained[1])


def test_training_is_repeatable(persons: Labelled, tmp_path: Path) -> None:
    for name, seed in [("one", 0), ("two", 0), ("other", 1)]:
        POSE.train(
            make_settings(),
            task=TASK,
            datasets=[persons],
            dev=persons,
            seed=seed,
            out=tmp_path / name,
            device="cpu",
        )
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other")}
    assert files["one"] == files["two"] != files["other"]
    assert (tmp_path / "one/config.json").read_bytes() == (tmp_path / "two/config.json").read_bytes()


def test_a_failed_training_leaves_what_was_there(persons: Labelled, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "earlier").touch()
    with pytest.raises(DatasetDMError, match=r"Lower downstream\.learning_rate"):
        POSE.train(
            make_settings(learning_rate=1e30, iterations=5),
            task=TASK,
            datasets=[persons],
            dev=persons,
            seed=0,
            out=out,
            device="cpu",
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "earlier"]


def test_nobody_to_train_on_is_a_clear_error(persons: Labelled, tmp_path: Path) -> None:
    sample = draw_person(np.random.default_rng(0), 0)
    sample.target.keypoints[:] = 0
    unlabelled = save(tmp_path, "unlabelled", [sample])
    empty = save(tmp_path, "empty", [])
    with pytest.raises(DatasetDMError, match="no person to train on"):
        crops_of([unlabelled, empty])
    with pytest.raises(DatasetDMError, match="no person to train on"):
        crops_of([])
    assert len(crops_of([unlabelled, persons])) == 12
    with pytest.raises(DatasetDMError, match=r"gone\.json"):
        crops_of([Labelled(folder=persons.folder, subset="gone")])


# --- the crops


def test_a_crop_holds_its_box_upright_in_the_middle() -> None:
    matrix = crop_matrix(np.array([10, 20, 6, 8]), (64, 48))
    scale = 64 / 8 / 1.25
    np.testing.assert_allclose(matrix[:, :2], scale * np.eye(2))
    np.testing.assert_allclose(matrix[:, :2] @ [12.5, 23.5] + matrix[:, 2], [23.5, 31.5])
    wide = crop_matrix(np.array([10, 20, 30, 8]), (64, 48))
    np.testing.assert_allclose(wide[0, 0], 48 / 30 / 1.25)
    assert np.isfinite(crop_matrix(np.zeros(4), (64, 48))).all()


def test_heatmaps_follow_the_picture(tmp_path: Path) -> None:
    """One dot in the image: it has the heatmap's peak in every crop, left being right where it was mirrored."""
    sample = draw_person(np.random.default_rng(0), 0)
    sample.image[:] = 0
    x, y = sample.target.keypoints[0, 5, :2] = (22, 24)
    sample.image[..., 0] = 255 * draw_gaussians(np.array([x, y]), (SIDE, SIDE), 1.5)
    sample.target.keypoints[0, np.arange(17) != 5] = 0
    crops = crops_of([save(tmp_path, "dot", [sample])], num_crops=20)
    mirror = MIRRORED[5]
    seen = set()
    for item in crops:
        (channel,) = np.flatnonzero(item["weights"].numpy().ravel())
        place, height = find_peaks(item["heatmaps"].numpy()[channel][None])
        assert height[0] > 0.8 and not item["heatmaps"][np.arange(17) != channel].any()
        dot, _ = find_peaks(item["images"][:1].numpy() - item["images"][0].numpy().min())
        np.testing.assert_allclose(to_cells(dot, (64, 48), (32, 24)), place, atol=0.5)
        seen.add(int(channel))
    assert seen == {5, mirror}


def test_crops_depend_on_seed_and_number_alone(persons: Labelled) -> None:
    first, second, other = crops_of([persons]), crops_of([persons], 30), crops_of([persons], seed=1)
    for number in (0, 11):
        torch.testing.assert_close(first[number], second[number])
    assert not torch.equal(first[0]["images"], other[0]["images"])
    assert first[0]["images"].shape == (3, 64, 48) and first[0]["heatmaps"].shape == (17, 32, 24)


def test_sources_are_mixed_by_weight(persons: Labelled, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    other = save(tmp_path, "other", [draw_person(rng, number) for number in range(3)])
    heavy = Labelled(folder=other.folder, subset=other.subset, weight=3.0)
    order = np.array(crops_of([persons, heavy], num_crops=400).order)
    assert 0.68 < (order >= 6).mean() < 0.82
    assert set(order.tolist()) == set(range(9))


def test_variations_keep_most_of_the_person_in_view() -> None:
    matrix = crop_matrix(np.array([10.0, 20, 30, 40]), (64, 48))
    centre = np.array([24.5, 39.5])
    mirrored = 0
    for seed in range(30):
        changed = augmented_matrix(matrix, (64, 48), np.random.default_rng(seed))
        x, y = changed[:, :2] @ centre + changed[:, 2]
        assert abs(x - 23.5) < 5 and abs(y - 31.5) < 6
        determinant = np.linalg.det(changed[:, :2]) / np.linalg.det(matrix[:, :2])
        assert 0.5 < abs(determinant) < 1.6
        mirrored += determinant < 0
    assert 5 < mirrored < 25


# --- the networks


class Dots(torch.nn.Module):
    """Stands in for a network: heatmaps of a crop are its red channel for every keypoint."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = torch.nn.functional.interpolate(pixels[:, :1], size=(32, 24), mode="area").expand(-1, 17, -1, -1)
        return (maps - maps.amin()) / (maps.amax() - maps.amin())


def test_predictions_come_back_to_the_image() -> None:
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    image[..., 0] = 255 * draw_gaussians(np.array([41.0, 22.5]), (60, 80), 2.5)
    model = PoseModel(architecture_of("vitpose_tiny", 64), name="dots", image_size=64, categories=())
    model.network = Dots()  # type: ignore[assignment]
    for box in ([30, 10, 20, 30], [20, 15, 40, 12]):
        found = model.predict([image], [np.array([box])])[0]
        np.testing.assert_allclose(found.keypoints[0, :, :2], np.tile([41.0, 22.5], (17, 1)), atol=0.3)


@pytest.mark.parametrize(
    ("name", "image_size", "stride"),
    [
        ("vitpose_tiny", 32, 2),
        ("vitpose_small", 64, 4),
        ("simple_baseline_r18", 128, 4),
        pytest.param("vitpose_base", 64, 4, marks=pytest.mark.slow),
        pytest.param("simple_baseline_r50", 128, 4, marks=pytest.mark.slow),
    ],
)
def test_every_model_builds_and_takes_a_step(name: str, image_size: int, stride: int, persons: Labelled) -> None:
    network = build_network(architecture_of(name, image_size))
    size = crop_size(image_size)
    cells = size[0] // stride, size[1] // stride
    crops = PersonCrops([persons], categories=[PERSON], size=size, cells=cells, sigma=1, num_crops=2, seed=0)
    batch = {key: torch.stack([item[key] for item in crops]) for key in crops[0]}
    assert network.stride == stride
    for _ in range(2):  # the last layer starts at zero, so the backbone learns from the second step on
        heatmaps = network(batch["images"])
        assert heatmaps.shape == (2, len(KEYPOINTS), *cells)
        loss = heatmap_loss(heatmaps, batch["heatmaps"], batch["weights"], 1.0)
        network.zero_grad()
        loss.backward()
        assert torch.isfinite(loss)
        torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert sum(value.grad.abs().sum() for value in network.backbone.parameters() if value.grad is not None) > 0


@pytest.mark.parametrize(("name", "image_size"), [("vitpose_tiny", 32), ("simple_baseline_r18", 128)])
def test_a_saved_model_predicts_the_same(name: str, image_size: int, tmp_path: Path) -> None:
    model = PoseModel.build(make_settings(model=name, image_size=image_size), TASK)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    model.save(tmp_path)
    images = [np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)]
    (before,), (after,) = model.to(torch.device("cpu")).predict(images), PoseModel.load(tmp_path, "cpu").predict(images)
    assert before.keypoints.any()
    np.testing.assert_allclose(before.keypoints, after.keypoints, atol=1e-4)


def test_pretrained_weights_arrive_and_the_head_stays(tmp_path: Path, persons: Labelled) -> None:
    donor, network = (build_network(architecture_of("vitpose_tiny", 32)) for _ in range(2))
    with torch.no_grad():
        for parameter in donor.parameters():
            parameter.fill_(0.01)
    save_file({key: value.contiguous() for key, value in donor.state_dict().items()}, tmp_path / "model.safetensors")
    network.load_pretrained(tmp_path / "model.safetensors")
    assert all((value == 0.01).all() for value in network.backbone.parameters())
    assert not network.head.conv.weight.any()
    settings = make_settings(pretrained=str(tmp_path), iterations=1, learning_rate=1e-7)
    POSE.train(settings, task=TASK, datasets=[persons], dev=persons, seed=0, out=tmp_path / "model", device="cpu")
    after = load_file(tmp_path / "model" / "model.safetensors")
    assert (after["backbone.embeddings.position_embeddings"] - 0.01).abs().max() < 1e-4


@pytest.mark.parametrize(("name", "image_size"), [("vitpose_tiny", 32), ("simple_baseline_r18", 128)])
def test_damaged_or_foreign_weights_are_clear_errors(name: str, image_size: int, tmp_path: Path) -> None:
    network = build_network(architecture_of(name, image_size))
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nonsense")
    with pytest.raises(DatasetDMError, match="cannot be read"):
        network.load_pretrained(file)
    save_file({"conv1.weight": torch.zeros(4)}, file)
    with pytest.raises(DatasetDMError, match="does not fit"):
        network.load_pretrained(file)
    with pytest.raises(DatasetDMError, match="Run the stage train_downstream"):
        PoseModel.load(tmp_path)


def test_a_folder_with_the_wrong_weights_is_named(trained: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((trained[0] / "config.json").read_bytes())
    with pytest.raises(DatasetDMError, match="is missing"):
        PoseModel.load(tmp_path, "cpu")
    save_file({"conv1.weight": torch.zeros(4)}, tmp_path / "model.safetensors")
    with pytest.raises(DatasetDMError, match="does not fit its config"):
        PoseModel.load(tmp_path, "cpu")


def test_a_crop_beyond_the_image_is_filled(persons: Labelled) -> None:
    image = np.full((20, 20, 3), 255, dtype=np.uint8)
    picture = crop(image, crop_matrix(np.array([0, 0, 20, 20]), (64, 48)), (64, 48))
    assert picture.shape == (64, 48, 3) and (picture[32, 24] == 255).all() and picture[0, 0].max() < 130


def test_checkpoints_hold_the_network(
    persons: Labelled, tmp_path: Path, check_checkpoints: Callable[..., None]
) -> None:
    data = {"task": TASK, "datasets": [persons], "dev": persons}
    check_checkpoints(POSE.train, make_settings(checkpoint_every=1), tmp_path, **data)
