"""The controls of the comparison: what they are made of, what they must not see, and that nobody else pays for them."""

import json
import shutil
from pathlib import Path

import pytest

from datasetdm.arms import ARMS, Training
from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import Labelled
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.stages import STAGES, annotate, augment, train_downstream
from datasetdm.pipeline.training import mixture
from datasetdm.pipeline.unlabelled_images import save_labelled, unlabelled_images

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
ALL = ["real", "synthetic", "both", "oracle", "real_augmented", "self_training", "pseudo"]


@pytest.fixture
def controls(project, edit) -> Path:
    """A project that asks for all arms, with its real images."""
    folder = project(MINIWORLD)
    edit("benchmarks.coco.experiment.arms", ALL)
    edit("benchmarks.coco.experiment.self_training_threshold", 0.0)  # two iterations teach no certainty
    edit("benchmarks.coco.downstream.model", "mask-rcnn_r18")  # finds things without having learnt any
    edit("benchmarks.coco.downstream.model", "mask-rcnn_r18")  # finds things without having learnt any
    assert main(["ingest", "coco"]) == 0
    return folder


def stand_in(folder: Path) -> None:
    """The labelled images instead of a set that the diffusion model has a part in."""
    context = open_context("coco")
    real, task = context.paths.real, context.task()
    save_labelled(task, folder, "seed_0", standard_format(*task.kind).load(real, "few_shot_0"), real / "images")


def scramble(file: Path) -> None:
    """Other labels for the same images and captions: every object in another image, of one category."""
    content = json.loads(file.read_text())
    images = [image["id"] for image in content["images"]]
    for record in content["annotations"]:
        record["image_id"] = images[images.index(record["image_id"]) - 1]
        record["category_id"] = content["categories"][0]["id"]
    file.write_text(json.dumps(content))


def contents(folder: Path) -> dict[str, bytes]:
    """Unit or work folder -> file -> content, all but what says when: timings and inventories."""
    when = (".seconds", ".files")
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix not in when]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def training(context: Context, arm: str) -> Path:
    """The folder of a training, made or not."""
    (unit,) = train_downstream.plan_trainings(context, [Training(arm, 0)])
    return unit.folder


def make_controls() -> None:
    """The labels of `pseudo` and of `self_training`, and the student."""
    context = open_context("coco")
    annotate.make(context, annotate.STAGE.plan(context)["seed_0"])
    train_downstream.trained(context, Training("self_training", 0))


@pytest.mark.slow
def test_labels_of_the_oracle_reach_neither_pseudo_nor_self_training(controls: Path) -> None:
    assert main(["train_decoder", "coco"]) == 0
    make_controls()
    work = controls / "data/.work"
    kinds = ("annotate", "self_training", "train_downstream")
    before = {kind: contents(work / kind) for kind in kinds}
    assert sum("model.safetensors" in name for name in before["train_downstream"]) == 2  # teacher and student
    assert {Path(name).name for name in before["self_training"]} >= {"taught.json", "spliced.json"}
    taught = next(text for name, text in before["self_training"].items() if name.endswith("taught.json"))
    assert json.loads(taught)["annotations"]
    context = open_context("coco")
    oracle_images = {image.name: image for image in unlabelled_images(context)}
    unit = annotate.STAGE.plan(context)["seed_0"].folder
    for sample in standard_format(*context.task().kind).load(unit, "seed_0"):
        assert sample.caption == oracle_images[sample.name].caption
        assert (sample.image == oracle_images[sample.name].read()).all()
    oracle = training(context, "oracle")

    scramble(controls / "data/real/coco/annotations/oracle.json")
    context = open_context("coco")
    assert training(context, "oracle") != oracle  # whom the labels are for
    assert annotate.STAGE.plan(context).missing() == []
    assert training(context, "self_training").exists()
    shutil.rmtree(work / "annotate")
    shutil.rmtree(work / "self_training")
    shutil.rmtree(work / training(context, "self_training").relative_to("data/.work"))
    make_controls()
    after = {kind: contents(work / kind) for kind in kinds}
    assert after["annotate"] == before["annotate"] and after["self_training"] == before["self_training"]
    assert after["train_downstream"] == before["train_downstream"]


def test_controls_cost_nothing_where_they_are_not_asked_for(project, edit) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    context = open_context("coco")
    stand_in(context.paths.synthetic)
    assert main(["annotate", "coco"]) == main(["augment", "coco"]) == 0  # there is no decoder, and none is asked for
    assert [file.name for file in context.paths.pseudo.iterdir()] == ["record.json"]
    assert [file.name for file in (context.paths.augmented / "annotations").iterdir()] == ["seed_0.json"]
    planned = {row: training(context, row.arm) for row in train_downstream.trainings(context)}

    edit("benchmarks.coco.experiment.arms", ALL)
    edit("benchmarks.coco.experiment.p_decoder", True)
    edit("benchmarks.coco.experiment.self_training_threshold", 0.9)
    more = open_context("coco")
    stand_in(more.paths.pseudo)
    plan = augment.STAGE.plan(more)
    assert plan["seed_0/0"].is_finished() and not plan["real_0/0"].is_finished()
    assert {row: training(more, row.arm) for row in planned} == planned


def test_a_cut_off_augmentation_resumes(project, edit, monkeypatch) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    context, stage = open_context("coco"), STAGES["augment"]
    stand_in(context.paths.synthetic)
    assert main(["augment", "coco"]) == 0
    whole = {file.name: file.read_bytes() for file in context.paths.augmented.rglob("*") if file.is_file()}

    monkeypatch.setattr(augment, "SHARD_SIZE", 1)
    plan = stage.plan(context)
    assert plan.missing() == ["seed_0/0", "seed_0/1"]
    stage.make(context, plan["seed_0/1"])
    assert plan.missing() == ["seed_0/0"]
    assert main(["augment", "coco"]) == 0
    assert {file.name: file.read_bytes() for file in context.paths.augmented.rglob("*") if file.is_file()} == whole

    edit("benchmarks.coco.augmentation.num_images", 0)
    assert main(["augment", "coco"]) == 0
    assert len(standard_format(*context.task().kind).load(context.paths.augmented, "seed_0")) == 0


def datasets(context: Context, arm: str) -> list[Labelled]:
    (unit,) = train_downstream.plan_trainings(context, [Training(arm, 0)])
    return mixture(unit.payload.groups, context, AnnotatedSets())


def test_controls_have_the_splices_and_the_mix_of_the_arms_they_are_held_against(controls: Path, edit) -> None:
    context, task = open_context("coco"), open_context("coco").task()
    stand_in(context.paths.synthetic)
    stand_in(context.paths.pseudo)
    assert main(["augment", "coco"]) == 0
    for subset in ("seed_0", "real_0", "pseudo_0"):
        spliced = standard_format(*task.kind).load(context.paths.augmented, subset)
        assert {sample.image.shape[:2] for sample in spliced} == {(64, 128), (128, 128)} and len(spliced) == 2
    shares = {
        arm: [(part.subset, round(part.weight, 3)) for part in datasets(context, arm)]
        for arm in ("synthetic", "both", "real_augmented", "pseudo")
    }
    assert shares["both"] == [("few_shot_0", 0.5), ("seed_0", 0.333), ("seed_0", 0.167)]
    assert shares["real_augmented"] == [("few_shot_0", 0.5), ("real_0", 0.5)]
    assert shares["synthetic"] == [("seed_0", 0.667), ("seed_0", 0.333)]
    assert shares["pseudo"] == [("seed_0", 0.667), ("pseudo_0", 0.333)]
    edit("benchmarks.coco.experiment.finetune_fraction", 0.3)
    last = {arm: [part.until for part in datasets(open_context("coco"), arm)] for arm in ("real", *shares)}
    assert last["both"] == [1.0, 0.7, 0.7] and last["real_augmented"] == [1.0, 0.7]
    assert last["real"] == [1.0] and last["synthetic"] == last["pseudo"] == [1.0, 1.0]


def test_a_teachers_certainty_decides_what_the_student_learns(controls: Path, edit) -> None:
    before = training(open_context("coco"), "self_training")
    teacher = training(open_context("coco"), "real")
    edit("benchmarks.coco.experiment.self_training_threshold", 1.0)
    assert training(open_context("coco"), "self_training") != before
    assert training(open_context("coco"), "real") == teacher


def test_controls_are_never_offered_for_use() -> None:
    assert {name for name in ALL if not ARMS[name].control} == {"real", "synthetic", "both"}
