"""Doubtful labels go to a labelling tool and come back: every task, bad files, and what the trainings make of it."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from datasetdm.annotations.sample import Sample
from datasetdm.cli import main
from datasetdm.cli.labels import SETS
from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.label_quality import Doubt
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.labels.send import Sent, send
from datasetdm.pipeline.labels.take import take_back
from datasetdm.pipeline.reviewed.store import REVIEWABLE
from datasetdm.utils.files import write_json
from tests.datasets.exporting.conftest import CATEGORIES, contents_of, samples_of, source_set

TASKS: dict[str, dict[str, Any]] = {
    "instance": {"task": "instance", "format": "coco", "model": "mask-rcnn_r18"},
    "semantic": {"task": "semantic", "format": "voc", "model": "upernet_r18"},
    "depth": {"task": {"name": "depth", "max_depth": 20.0}, "format": "depth_folder", "model": "upernet_r18"},
    "pose": {"task": "pose", "format": "coco_pose", "model": "vitpose_tiny"},
}
WORST = (4, 1, 3)  # of six images, those that are sent
Open = Callable[[str], Context]


@pytest.fixture
def opened(project, edit) -> Open:
    """A benchmark of a task, whose synthetic set has six images of different sizes."""

    def open_task(task: str) -> Context:
        project({"format": TASKS[task]["format"], "root": "data/raw/mine"})
        edit("benchmarks.coco.task", TASKS[task]["task"])
        edit("benchmarks.coco.downstream.model", TASKS[task]["model"])
        context = open_context("coco")
        write_json(context.paths.real / "categories.json", [asdict(category) for category in CATEGORIES[task]])
        standard_format(*context.task().kind).save(context.paths.synthetic, "seed_0", samples_of(task))
        return context

    return open_task


def sent(context: Context, task: str, worst: Sequence[int] = WORST) -> tuple[Sent, list[Sample]]:
    samples = samples_of(task)
    chosen = [("synthetic", samples[n].name, Doubt(0.1 * place, "why")) for place, n in enumerate(worst)]
    made = send(context, Path("review/coco"), seed=0, chosen=chosen, judge="a test")
    return made, [samples[n] for n in worst]


def kept(context: Context) -> dict[str, Sample]:
    """What came back, by the caption and the pixels of its image."""
    samples = standard_format(*context.task().kind).load(context.paths.reviews, "reviewed")
    return {sample.image.tobytes(): sample for sample in samples}


def same(task: str, one: Any, other: Any) -> bool:
    if task == "instance":
        own = sorted(zip(one.labels.tolist(), one.crowd.tolist(), (m.tobytes() for m in one.masks), strict=True))
        found = sorted(
            zip(other.labels.tolist(), other.crowd.tolist(), (m.tobytes() for m in other.masks), strict=True)
        )
        return own == found
    if task == "semantic":
        return bool((one.labels == other.labels).all())
    if task == "depth":
        return bool((one.valid_mask == other.valid_mask).all() and np.allclose(one.depth, other.depth, atol=1e-3))
    return bool(np.allclose(one.keypoints, other.keypoints, atol=1e-2))


@pytest.mark.parametrize(
    ("task", "tool"), [("instance", "coco"), ("pose", "coco"), ("semantic", "voc"), ("depth", "maps")]
)
def test_labels_come_back_as_they_were_sent(task: str, tool: str, opened: Open) -> None:
    context = opened(task)
    made, samples = sent(context, task)
    assert list(made.tools) == (["maps"] if task == "depth" else ["cvat", tool]) and made.count == 3
    assert (Path("review/coco/cvat/train/annotations.xml").exists()) == (task != "depth")
    assert "take" in Path("review/coco/README.md").read_text()
    taken = take_back(context, made.folder, [made.folder / tool])
    assert (taken.images, taken.sent, taken.new, taken.in_all) == (3, 3, 3, 3)
    found = kept(context)
    for sample in samples:
        came = found[sample.image.tobytes()]
        assert same(task, sample.target, came.target), sample.name
        assert came.caption == sample.caption
    origins = json.loads((context.paths.reviews / "origins.json").read_text())
    assert {origin["image"] for origin in origins.values()} == {sample.name for sample in samples}

    before = contents(context.paths.reviews)
    assert take_back(context, made.folder, [made.folder / tool]).new == 0
    assert contents(context.paths.reviews) == before  # twice is once


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def corrected(change: Callable[[dict[str, Any]], None], folder: str = "corrected") -> Path:
    """COCO JSON without images, as CVAT exports it, after a change of its content."""
    content = json.loads(Path("review/coco/coco/annotations/instances_train.json").read_text())
    change(content)
    write_json(Path(folder) / "annotations/instances_default.json", content)
    return Path(folder)


def test_corrections_replace_older_ones_and_others_stay(opened: Open) -> None:
    context = opened("instance")
    made, _ = sent(context, "instance")
    take_back(context, made.folder, [made.folder / "coco"])

    def without_objects(content: dict[str, Any]) -> None:
        content["annotations"] = []
        content["images"] = content["images"][:2]

    taken = take_back(context, made.folder, [corrected(without_objects)])
    assert (taken.images, taken.new, taken.in_all) == (2, 0, 3)
    counts = sorted(len(sample.target) for sample in kept(context).values())
    assert counts == [0, 0, 3]  # of the images 4, 1 and 3, which had 0, 1 and 3 objects

    shutil.rmtree(made.folder)
    made, _ = sent(context, "instance", worst=(0, 2))
    assert take_back(context, made.folder, [made.folder / "coco"]).in_all == 5


def rename_categories(content: dict[str, Any]) -> None:
    for category in content["categories"]:
        category["name"] = f"my {category['name']}"


def boxes_alone(content: dict[str, Any]) -> None:
    for record in content["annotations"]:
        record["segmentation"] = []


def other_size(content: dict[str, Any]) -> None:
    content["images"][0]["width"] += 5


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], list[str]]] = {
    "categories": (rename_categories, ["are none of coco", "rename them"]),
    "boxes": (boxes_alone, ["have a box but no mask"]),
    "size": (other_size, ["1 images and 0 objects cannot be used", "another size than the annotation says"]),
    "none": (lambda content: content.update(images=[], annotations=[]), ["has no image that can be used"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_files_are_refused_and_nothing_is_lost(mistake: str, opened: Open) -> None:
    context = opened("instance")
    made, _ = sent(context, "instance")
    take_back(context, made.folder, [made.folder / "coco"])
    before = contents(context.paths.reviews)
    change, expected = MISTAKES[mistake]
    with pytest.raises(DatasetDMError) as error:
        take_back(context, made.folder, [corrected(change)])
    assert all(text in str(error.value) for text in expected), str(error.value)
    assert contents(context.paths.reviews) == before


def test_all_problems_at_once(opened: Open) -> None:
    context = opened("instance")
    made, _ = sent(context, "instance")

    def several(content: dict[str, Any]) -> None:
        rename_categories(content)
        boxes_alone(content)
        other_size(content)

    with pytest.raises(DatasetDMError) as error:
        take_back(context, made.folder, [corrected(several)])
    assert "3 problems" in str(error.value) and not context.paths.reviews.exists()


def test_images_that_were_not_sent_or_have_changed(opened: Open, tmp_path: Path) -> None:
    context = opened("instance")
    made, _ = sent(context, "instance")
    foreign = samples_of("instance", seed=9)
    export(contents_of("instance", source_set(tmp_path / "set", "instance", foreign)), FORMATS["coco"].write, Path("x"))
    with pytest.raises(DatasetDMError, match="6 images are none of those that were sent"):
        take_back(context, made.folder, [Path("x")])
    record = json.loads((made.folder / "review.json").read_text())
    shutil.copy(tmp_path / "set/images/plain.png", made.folder / record["images"][0]["file"])
    with pytest.raises(DatasetDMError, match="1 images have changed since they were sent"):
        take_back(context, made.folder, [corrected(lambda content: None)])


def test_tasks_for_label_studio_have_every_polygon_in_per_cent(opened: Open) -> None:
    context = opened("instance")
    sent(context, "instance", worst=(3, 1))
    folder = Path("review/coco/coco")
    content = json.loads((folder / "annotations/instances_train.json").read_text())
    tasks = json.loads((folder / "label_studio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d=images/train/{image['file_name']}" for image in content["images"]
    ]
    plain = [record for record in content["annotations"] if not record["iscrowd"]]
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert len(regions) == sum(len(record["segmentation"]) for record in plain)
    assert len(plain) < len(content["annotations"])  # the third image has a crowd
    first, image = plain[0]["segmentation"][0], content["images"][0]
    back = [(x * image["width"] / 100, y * image["height"] / 100) for x, y in regions[0]["value"]["points"]]
    np.testing.assert_allclose(np.ravel(back), first)
    config = ElementTree.parse(folder / "label_studio.xml")
    names = {label.get("value") for label in config.iter("Label")}
    assert {region["value"]["polygonlabels"][0] for region in regions} <= names
    assert "label_studio.json" in Path("review/coco/README.md").read_text()


def test_the_command_line_knows_what_can_be_reviewed() -> None:
    assert tuple(REVIEWABLE) == SETS


def test_the_folder_of_a_review_is_looked_after(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    context = opened("instance")
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    with pytest.raises(DatasetDMError, match="may hold corrections that did not come back"):
        send(
            context,
            Path("mine"),
            seed=0,
            chosen=[("synthetic", samples_of("instance")[0].name, Doubt(0, ""))],
            judge="",
        )
    assert main(["review", "coco", "--take", "mine"]) == 2
    assert "review/coco is no review" in capsys.readouterr().err
    assert main(["review", "coco", "--worst", "3"]) == 2
    assert "train_downstream coco" in capsys.readouterr().err


def test_a_model_chooses_and_the_arm_both_is_trained_on_what_comes_back(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cleanlab")
    assert main(["review", "coco", "--worst", "1"]) == 0
    said = capsys.readouterr().out
    assert "review/coco: 1 images, judged by synthetic: the model of real/0. The most doubtful:" in said
    assert main(["review", "coco", "--take", "review/coco/voc"]) == 0
    said = capsys.readouterr().out
    assert "1 of the 1 images that were sent came back, 1 for the first time" in said
    assert "(trains both again, on them too)" in said


@pytest.mark.slow
def test_reviewed_labels_are_part_of_the_lineage(project, edit, capsys: pytest.CaptureFixture[str]) -> None:
    """Reviewed images are ingested, and take the place of what they correct in the arm `both` alone."""
    from datasetdm.pipeline.engine.run import run_stage
    from datasetdm.pipeline.stages import STAGES

    miniworld = {"distribution": "coco", "num_train": 24, "num_val": 6, "image_size": 64}
    project({"format": "voc", "root": "data/raw/w", "miniworld": miniworld})
    edit("benchmarks.coco.task", "semantic")
    block = yaml.safe_load(Path("params.yaml").read_text())["benchmarks"]["coco"]
    edit("benchmarks.coco.downstream", {**block["downstream"], "model": "upernet_r18"})
    edit("benchmarks.coco.experiment.arms", ["real", "both"])
    context = open_context("coco")
    for name in ("ingest", "adapt", "train_decoder", "write_prompts", "synthesize", "annotate", "augment"):
        run_stage(STAGES[name], context)
    before = {unit.key: unit.folders for unit in STAGES["train_downstream"].plan(context)}
    files = standard_format(*context.task().kind)
    drawn = files.load(context.paths.synthetic, "seed_0")
    name = drawn[0].name
    made = send(context, Path("review/coco"), seed=0, chosen=[("synthetic", name, Doubt(0, ""))], judge="a test")
    take_back(context, made.folder, [made.folder / "voc"])
    run_stage(STAGES["ingest"], context)
    assert files.check(context.paths.real, "reviewed")["images"] == 1

    after = {unit.key: unit.folders for unit in STAGES["train_downstream"].plan(context)}
    assert after["real/0"] == before["real/0"] and after["both/0"] != before["both/0"]
    for earlier in ("train_decoder", "synthesize", "augment"):
        assert not STAGES[earlier].plan(context).missing()
    (unit,) = [unit for unit in STAGES["train_downstream"].plan(context) if unit.key == "both/0"]
    STAGES["train_downstream"].make(context, unit)
    corrected_sets = unit.payload.corrected
    left = [sample.name for sample in files.load(corrected_sets, "synthetic_seed_0")]
    assert left == [sample.name for sample in drawn][1:]
    tiles = [sample.name for sample in files.load(corrected_sets, "to_splice")]
    assert tiles == [*left, f"reviewed_synthetic_{name}"]
    assert len(files.load(corrected_sets, "augmented_seed_0")) == context.settings.augmentation.num_images
