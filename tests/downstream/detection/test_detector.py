import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomResize
from mmdet.datasets.transforms import Resize
from mmdet.models.detectors import BaseDetector
from mmengine.logging import MMLogger
from safetensors.torch import load_file, save_file
from transformers import SwinConfig, SwinForImageClassification

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.detection import Detector
from datasetdm.downstream.detection.backbone import load_pretrained
from datasetdm.downstream.detection.data import coco_dataset, train_loader
from datasetdm.downstream.detection.model import build_network
from datasetdm.downstream.detection.runner import CurveHook
from datasetdm.downstream.registry import find_model, models_of
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.instance import InstanceTask

train = DOWNSTREAM["instance"].train


def make_settings(**changes: object) -> config.Downstream:
    values = {"model": "mask-rcnn_r18", "image_size": 64, "iterations": 2, "batch_size": 2, "learning_rate": 1e-3}
    return config.Downstream(**{**values, **changes})


def mask_rcnn() -> BaseDetector:
    """The default detector, with weights that are not initialised."""
    return build_network(find_model("instance", "mask-rcnn_r18").build(make_settings(), 2))


@pytest.fixture(scope="module")
def trained(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, float]]:
    """One training on the drawn shapes."""
    out = tmp_path_factory.mktemp("trained") / "real" / "0"
    metrics = DOWNSTREAM["instance"].train(
        make_settings(iterations=30, batch_size=4),
        datasets=[shapes["train"]],
        task=InstanceTask(categories),
        dev=shapes["dev"],
        seed=0,
        out=out,
        device="cpu",
    )
    return out, metrics


def test_training_writes_a_folder_without_pickles_paths_or_left_overs(trained: tuple[Path, dict[str, float]]) -> None:
    out, metrics = trained
    names = ["config.json", "curves.csv", "metrics.json", "model.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert [path.name for path in out.parent.iterdir()] == ["0"]
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert 0 <= metrics["mask_ap"] <= 1
    assert "/tmp" not in (out / "config.json").read_text()
    assert "://" not in (out / "config.json").read_text()


def test_the_loss_goes_down(trained: tuple[Path, dict[str, float]]) -> None:
    rows = list(csv.DictReader((trained[0] / "curves.csv").open()))
    assert [int(row["iteration"]) for row in rows] == list(range(1, 31))
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert float(rows[-1]["learning_rate"]) < float(rows[10]["learning_rate"])


def test_a_trained_detector_loads_and_predicts_masks_at_the_images_size(
    trained: tuple[Path, dict[str, float]], categories: tuple[Category, ...]
) -> None:
    detector = DOWNSTREAM["instance"].load(trained[0], "cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(64, 64), (50, 90), (33, 20)]]
    found = detector.predict(images)
    assert [instances.masks.shape[1:] for instances in found] == [(64, 64), (50, 90), (33, 20)]
    for instances in found:
        assert instances.masks.dtype == bool
        assert np.all(np.diff(instances.scores) <= 0)
        assert np.all((instances.scores >= 0.05) & (instances.scores <= 1))
        assert np.all((instances.labels >= 0) & (instances.labels < len(categories)))
    assert detector.predict([]) == []


def test_an_image_is_predicted_the_same_alone_and_in_a_batch(
    trained: tuple[Path, dict[str, float]], shapes: dict[str, Labelled]
) -> None:
    detector = Detector.load(trained[0], "cpu")
    detector.score_threshold = 0.0
    dataset = [np.full((64, 64, 3), value, dtype=np.uint8) for value in (30, 200)]
    dataset[0][20:40, 20:40] = (230, 60, 40)
    together, alone = detector.predict(dataset)[0], detector.predict(dataset[:1])[0]
    assert len(together) == len(alone) > 0
    np.testing.assert_allclose(together.scores, alone.scores, atol=1e-4)


def test_training_is_repeatable(shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path) -> None:
    for name, seed in [("one", 0), ("two", 0), ("other", 1)]:
        train(
            make_settings(),
            datasets=[shapes["train"]],
            task=InstanceTask(categories),
            dev=shapes["dev"],
            seed=seed,
            out=tmp_path / name,
            device="cpu",
        )
        for handler in MMLogger.get_current_instance().handlers:  # as others do that set logging up, MLflow's store too
            handler.close()
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other")}
    assert files["one"] == files["two"]
    assert files["one"] != files["other"]
    assert (tmp_path / "one/config.json").read_bytes() == (tmp_path / "two/config.json").read_bytes()


def test_an_interrupted_training_leaves_what_was_there(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path
) -> None:
    out = tmp_path / "detector"
    out.mkdir()
    (out / "earlier").touch()
    with pytest.raises(DatasetDMError, match=r"Lower downstream\.learning_rate"):
        train(
            make_settings(learning_rate=1e30, iterations=5),
            datasets=[shapes["train"]],
            task=InstanceTask(categories),
            dev=shapes["dev"],
            seed=0,
            out=out,
            device="cpu",
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["detector", "earlier"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(spec.name, marks=pytest.mark.slow if "swin" in spec.name else ()) for spec in models_of("instance")],
)
def test_every_model_builds_offline_and_takes_a_step(
    name: str, shapes: dict[str, Labelled], categories: tuple[Category, ...]
) -> None:
    settings = make_settings(model=name)
    architecture = find_model("instance", name).build(settings, len(categories))
    assert json.loads(json.dumps(architecture)) is not None
    model = build_network(architecture)
    model.init_weights()
    model.train()
    loader = train_loader([shapes["train"]], categories, image_size=64, batch_size=2, num_batches=1, seed=0)
    data = model.data_preprocessor(next(iter(loader)), training=True)
    assert data["inputs"].shape == (2, 3, 64, 64)
    loss, terms = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())
    assert any("mask" in term for term in terms)


def test_pretrained_weights_arrive_in_the_backbone(tmp_path: Path) -> None:
    model, other = mask_rcnn(), mask_rcnn()
    state = {key: torch.rand_like(value, dtype=torch.float32) for key, value in other.backbone.state_dict().items()}
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer4.1.bn2.bias"} <= set(state)
    classifier = {"fc.weight": torch.rand(10, 512), "fc.bias": torch.rand(10)}
    weights = {key: value for key, value in state.items() if "num_batches" not in key}
    save_file({**weights, **classifier}, tmp_path / "model.safetensors")
    load_pretrained(model.backbone, tmp_path / "model.safetensors")
    for key, value in weights.items():
        torch.testing.assert_close(model.backbone.state_dict()[key], value)


def test_a_swin_transformer_of_the_hub_computes_the_same_features_under_its_other_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"depths": [2, 2, 2, 2], "num_heads": [4, 8, 16, 32], "window_size": 3}
    donor = SwinForImageClassification(SwinConfig(embed_dim=128, num_labels=3, **sizes)).eval()
    for value in donor.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn_like(value) * 0.05)  # norms and biases, too, so that every tensor matters
    donor.save_pretrained(tmp_path)
    architecture = find_model("instance", "mask2former_swin-b").build(make_settings(), 2)
    architecture["backbone"].update(depths=sizes["depths"], window_size=sizes["window_size"])
    model = build_network(architecture).eval()
    load_pretrained(model.backbone, tmp_path / "model.safetensors")
    model.backbone.norm3 = donor.swin.layernorm  # a norm per level is the detector's own
    images = torch.randn(1, 3, 192, 192, dtype=torch.float64)
    with torch.no_grad():
        found = model.double().backbone(images)[-1]
        expected = donor.double().swin(images).last_hidden_state.transpose(1, 2).reshape(found.shape)
    torch.testing.assert_close(found, expected)


def test_training_starts_from_the_pretrained_weights(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path
) -> None:
    backbone = mask_rcnn().backbone
    weights = {key: torch.full_like(value, 0.01) for key, value in backbone.named_parameters()}
    buffers = dict(backbone.named_buffers())
    save_file({**{key: value.detach() for key, value in weights.items()}, **buffers}, tmp_path / "model.safetensors")
    train(
        make_settings(pretrained=str(tmp_path), iterations=1, learning_rate=1e-6),
        datasets=[shapes["train"]],
        task=InstanceTask(categories),
        dev=shapes["dev"],
        seed=0,
        out=tmp_path / "detector",
        device="cpu",
    )
    after = load_file(tmp_path / "detector" / "model.safetensors")
    assert (after["backbone.layer2.0.conv1.weight"] - 0.01).abs().max() < 1e-4


def test_foreign_weights_are_clear_errors(tmp_path: Path) -> None:
    model = mask_rcnn()
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "model.safetensors")
    with pytest.raises(DatasetDMError, match="does not fit the backbone"):
        load_pretrained(model.backbone, tmp_path / "model.safetensors")
    with pytest.raises(DatasetDMError, match="Run the stage train_downstream"):
        Detector.load(tmp_path)


def test_images_without_objects_are_trained_on(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path
) -> None:
    content = json.loads(shapes["train"].annotation_file.read_text())
    bare = Labelled(folder=tmp_path / "bare", subset="train")
    bare.annotation_file.parent.mkdir(parents=True)
    bare.annotation_file.write_text(json.dumps({**content, "annotations": []}))
    bare.images_dir.symlink_to(shapes["train"].images_dir)
    assert len(coco_dataset(bare, categories, 64)) == 16
    metrics = train(
        make_settings(iterations=1),
        datasets=[bare],
        task=InstanceTask(categories),
        dev=bare,
        seed=0,
        out=tmp_path / "detector",
        device="cpu",
    )
    assert "mask_ap" not in metrics  # there is nothing to be found


def test_long_strips_are_trained_on(categories: tuple[Category, ...], tmp_path: Path) -> None:
    strips = Labelled(folder=tmp_path / "strips", subset="train")
    samples = []
    for number, size in enumerate([(2, 3000), (3000, 2), (1, 900), (40, 3000)], 1):
        image, mask = np.full((*size, 3), 120, dtype=np.uint8), np.zeros((1, *size), dtype=bool)
        mask[0, : max(1, size[0] // 2), : max(1, size[1] // 2)] = True
        target = Instances.of(mask, np.array([number % 2]))
        samples.append(Sample(name=f"{number}.png", image=image, caption="", target=target, image_id=number))
    task = InstanceTask(categories)
    standard_format(*task.kind).save(strips.folder, strips.subset, samples)
    data = {"task": task, "datasets": [strips], "dev": strips}
    out = tmp_path / "detector"
    train(make_settings(iterations=4, batch_size=4), seed=0, out=out, device="cpu", **data)
    found = Detector.load(out, "cpu").predict([sample.image for sample in samples])
    assert [instances.masks.shape[1:] for instances in found] == [sample.image.shape[:2] for sample in samples]


def test_images_that_are_no_strips_are_resized_as_mmdet_does(
    shapes: dict[str, Labelled], categories: tuple[Category, ...]
) -> None:
    ours, theirs = coco_dataset(shapes["train"], categories, 96), coco_dataset(shapes["train"], categories, 96)
    for transform in theirs.pipeline.transforms:
        if isinstance(transform, RandomResize):
            transform.resize = Resize(scale=0, keep_ratio=True)
    for index in range(len(ours)):
        items = []
        for dataset in (ours, theirs):
            np.random.seed(index)
            random.seed(index)
            items.append(dataset[index])
        first, second = items
        assert torch.equal(first["inputs"], second["inputs"])
        objects, expected = (item["data_samples"].gt_instances for item in items)
        np.testing.assert_array_equal(objects.masks.masks, expected.masks.masks)
        assert torch.equal(objects.bboxes.tensor, expected.bboxes.tensor)


def test_regions_to_ignore_are_painted_over_and_objects_in_them_stay(
    categories: tuple[Category, ...], tmp_path: Path
) -> None:
    rng, masks = np.random.default_rng(0), np.zeros((2, 40, 70), dtype=bool)
    image = rng.integers(0, 255, (40, 70, 3), dtype=np.uint8)
    masks[0, 5:20, 5:20], masks[1, 10:30, 10:60] = True, True
    target = replace(Instances.of(masks, np.array([0, 1])), crowd=np.array([False, True]))
    source, task = Labelled(folder=tmp_path, subset="half_seen"), InstanceTask(categories)
    sample = Sample(name="0.png", image=image, caption="", target=target, image_id=1)
    standard_format(*task.kind).save(source.folder, source.subset, [sample])
    seen = {}
    for hide in (False, True):
        loaded = coco_dataset(source, categories, 96, hide_ignored=hide)
        results = loaded.get_data_info(0)
        for transform in loaded.pipeline.transforms[: 3 if hide else 2]:
            results = transform(results)
        seen[hide] = results["img"][..., ::-1]
    np.testing.assert_array_equal(seen[False], image)
    region = masks[1] & ~masks[0]
    np.testing.assert_array_equal(seen[True][~region], image[~region])
    assert (seen[True][region] == image.mean(axis=(0, 1)).round()).all()


def test_labels_follow_the_order_of_the_categories(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path
) -> None:
    dataset = coco_dataset(shapes["train"], categories, 64)
    assert dataset.cat2label == {3: 0, 17: 1}
    with pytest.raises(DatasetDMError, match="another order"):
        coco_dataset(shapes["train"], categories[::-1], 64)
    with pytest.raises(DatasetDMError, match="is missing"):
        coco_dataset(Labelled(folder=tmp_path, subset="no"), categories, 64)


def test_nothing_to_train_on_is_a_clear_error(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path
) -> None:
    content = json.loads(shapes["train"].annotation_file.read_text())
    empty = Labelled(folder=tmp_path, subset="empty")
    empty.annotation_file.parent.mkdir()
    empty.annotation_file.write_text(json.dumps({**content, "images": [], "annotations": []}))
    with pytest.raises(DatasetDMError, match="no image to train on"):
        train_loader([empty], categories, image_size=64, batch_size=2, num_batches=1, seed=0)


def test_workers_augment_repeatably(shapes: dict[str, Labelled], categories: tuple[Category, ...]) -> None:
    batches = []
    for _ in range(2):
        loader = train_loader(
            [shapes["train"]], categories, image_size=64, batch_size=4, num_batches=2, seed=3, num_workers=1
        )
        batches.append([image for batch in loader for image in batch["inputs"]])
    assert len(batches[0]) == 8
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(
    shapes: dict[str, Labelled],
    categories: tuple[Category, ...],
    accumulate: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(
        iterations=6, accumulate=accumulate, model="solov2_r18", autocast=False, checkpoint_every=2
    )

    def fit(name: str, resume: Path | None, settings: config.Downstream = settings) -> Path:
        sources, task = [shapes["train"]], InstanceTask(categories)
        out, dev = tmp_path / name, shapes["dev"]
        train(settings, datasets=sources, task=task, dev=dev, seed=0, out=out, device="cpu", resume=resume)
        return out

    whole = fit("whole", None)
    note = CurveHook.after_train_iter

    def cut(self: CurveHook, runner: object, batch_idx: int, *others: object, **named: object) -> None:
        if batch_idx == 5 * accumulate - 1:
            raise KeyboardInterrupt
        note(self, runner, batch_idx, *others, **named)

    with monkeypatch.context() as patch:
        patch.setattr(CurveHook, "after_train_iter", cut)
        with pytest.raises(KeyboardInterrupt):
            fit("cut", tmp_path / "resume")
    assert [file.name for file in (tmp_path / "resume").iterdir()] == ["checkpoint.pt"]
    resumed = fit("cut", tmp_path / "resume")

    rows = list(csv.DictReader((whole / "curves.csv").open()))
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert (resumed / "curves.csv").read_text() == (whole / "curves.csv").read_text()
    expected = load_file(whole / "model.safetensors")
    for key, value in load_file(resumed / "model.safetensors").items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)

    with pytest.raises(DatasetDMError, match="remove it to start from the beginning"):
        fit("other", tmp_path / "resume", settings.model_copy(update={"model": "mask-rcnn_r18"}))
