"""The settings: what is accepted, and what a typing mistake is answered with."""

import re
from functools import reduce
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from datasetdm.config import Distribution, PromptNoise, Scene, load_params
from datasetdm.config.benchmark import disagreements
from datasetdm.config.problems import RENAMED
from datasetdm.config.synthesis import Filter
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[2]


SETTINGS = sorted(file.name for file in (ROOT / "params").glob("*.yaml") if not file.name.startswith("pretrain_"))


@pytest.mark.parametrize("file", ["params.yaml", *(f"params/{name}" for name in SETTINGS)])
def test_shipped_settings_are_valid(file: str) -> None:
    demo, study = load_params(ROOT / file), load_params(ROOT / file, study=True)
    for name in demo.benchmarks:
        assert len(study.benchmark(name).seeds) > len(demo.benchmark(name).seeds)
        if study.benchmark(name).augmentation.num_images > 0:  # else it would be `real`
            assert "real_augmented" in study.benchmark(name).experiment.arms


def test_paper_settings_hold_the_papers_figures() -> None:
    paper = load_params(ROOT / "params/paper.yaml")
    coco = paper.benchmark("coco")
    assert paper.backbone.path == "CompVis/stable-diffusion-v1-4"
    assert (coco.ingest.num_real, coco.synthesis.num_images) == (400, 80_000)
    assert coco.synthesis.sampler.guidance_scale == 5.0 and coco.synthesis.sampler.num_inference_steps == 50
    assert coco.downstream.model == "mask2former_swin-b"
    assert sum(coco.augmentation.proportions.values()) * 1000 == coco.augmentation.num_images


def edited(tmp_path: Path, edit) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    edit(content)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_mistyped_setting_is_named(tmp_path: Path) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["coco"]["synthesis"].update(num_imagse=3))
    with pytest.raises(DatasetDMError, match=r"benchmarks\.coco\.synthesis\.num_imagse"):
        load_params(file)


def test_wrong_value_is_named(tmp_path: Path) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["coco"]["decoder"].update(iterations="many"))
    with pytest.raises(DatasetDMError, match=r"benchmarks\.coco\.decoder\.iterations is 'many'; write a whole number"):
        load_params(file)


def test_a_task_is_a_name_or_a_block() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.benchmark("coco").task.name == "instance"
    assert params.benchmark("nyu").task.model_dump() == {
        "name": "depth",
        "min_depth": 0.1,
        "max_depth": 10.0,
        "crop": "none",
    }


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("painting", r"benchmarks\.coco\.task.*'instance'"),
        ({"name": "depth", "unseen": ["dog"]}, r"benchmarks\.coco\.task\.unseen is not a setting"),
    ],
)
def test_an_unknown_task_or_one_with_settings_of_another_is_named(tmp_path: Path, task: object, says: str) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["coco"].update(task=task))
    with pytest.raises(DatasetDMError, match=says):
        load_params(file)


def test_oracle_arm_needs_oracle_images(tmp_path: Path) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["voc"]["ingest"].pop("num_oracle"))
    with pytest.raises(DatasetDMError, match="num_oracle"):
        load_params(file)


def test_unknown_benchmark_lists_the_known() -> None:
    with pytest.raises(DatasetDMError, match=r"no benchmark 'cocoa'.*coco"):
        load_params(ROOT / "params.yaml").benchmark("cocoa")


@pytest.mark.parametrize(
    ("arms", "num_oracle", "says"),
    [
        (["real", "pseudo"], 0, "has 'pseudo' but ingest.num_oracle is 0"),
        (["real", "self_training"], 0, "has 'self_training' but ingest.num_oracle is 0"),
        (["synthetic", "self_training"], 10, "has 'self_training' but not 'real', whose model is its teacher"),
    ],
)
def test_an_arm_that_lacks_what_it_needs_is_named(tmp_path: Path, arms: list[str], num_oracle: int, says: str) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["experiment"]["arms"] = arms
        content["benchmarks"]["coco"]["ingest"]["num_oracle"] = num_oracle

    with pytest.raises(DatasetDMError, match=says):
        load_params(edited(tmp_path, edit))


@pytest.mark.parametrize(
    ("section", "changes", "says"),
    [
        (None, {"task": "depth"}, "holds annotations for the task 'instance', not for 'depth'"),
        (None, {"seeds": [-1]}, "seeds"),
        (None, {"seeds": [0, 0]}, r"seeds is \[0, 0\]; it lists a seed twice"),
        ("experiment", {"arms": []}, "arms"),
        ("experiment", {"arms": ["real", "real"]}, "arms has real twice"),
        ("experiment", {"arms": ["fake"]}, r"arms\.0 is 'fake'; choose one of 'real', 'synthetic', 'both'"),
        ("downstream", {"learning_rate": float("inf")}, "learning_rate"),
        ("decoder", {"timestep": 1000}, "timestep is 1000; write a noise level from 0.0"),
        ("decoder", {"timestep": 1.5}, "timestep is 1.5; write a noise level from 0.0"),
        ("decoder", {"timestep": True}, "timestep is True; write a noise level"),
        ("decoder", {"train_timesteps": [0.1, 200]}, "write two noise levels"),
        ("decoder", {"train_timesteps": [0.5, 0.1]}, "the first has to be the lower one"),
        ("decoder", {"train_timesteps": [500, 5]}, "the first has to be the lower one"),
        ("synthesis", {"sampler": {"num_inference_steps": 100_000}}, r"synthesis\.sampler\.num_inference_steps"),
        (
            "synthesis",
            {"filter": {"score_threshold": 0.3, "doubt_threshold": 0.3}},
            "doubt_threshold is 0.3; it has to be below score_threshold, which is 0.3",
        ),
        ("synthesis", {"filter": {"target_precision": 1.0}}, "target_precision is 1; it has to be between 0 and 1"),
        ("synthesis", {"filter": {"target_precision": 0.9, "confidence": 0}}, "confidence is 0; it has to be between"),
        ("synthesis", {"filter": {"target_precision": 0.995}}, "takes 679 dev images without a single error"),
        (
            "synthesis",
            {"filter": {"score_threshold": 0.3, "ignore_threshold": 0.4}},
            "ignore_threshold is 0.4; it has",
        ),
        (
            "synthesis",
            {"filter": {"min_agreement": {"flip": 0.5, "timestep": 0.5}}},
            r"min_agreement\.flip is set, but decoder\.reading\.flip is not\n.*decoder\.reading\.timesteps is not",
        ),
        (
            None,
            {"decoder": {}, "synthesis": {"num_images": 3, "filter": {"min_agreement": {"attention": 0.5}}}},
            r"min_agreement\.attention is set, but decoder\.reading\.attention is not",
        ),
        (
            "decoder",
            {"method": "self_attention", "reading": {"attention": True}},
            "joins the P-Decoder with attention, but decoder.method is 'self_attention'",
        ),
        ("decoder", {"reading": {"flip": False}}, "reading names no further way to read an image"),
        ("synthesis", {"num_images": 3, "rounds": 4}, "rounds is 4, more than the images of num_images, which is 3"),
        ("synthesis", {"feedback": {"weights": {"weakness": 0, "rejection": 0, "uncertainty": 0}}}, "are all 0"),
        ("synthesis", {"feedback": {"strength": -1}}, "strength"),
        ("ingest", {"num_dev": 0}, "num_dev"),  # which `feedback` needs, as all choices do
        ("decoder", {"dropout": 1.0}, "dropout"),
        ("source", {"names": {"cup": "background"}}, "source.names has 'background', which no prompt names"),
        (
            None,
            {"task": {"name": "depth"}, "decoder": {"reading": {"attention": True}}},
            "reading.attention is true, which finds a mask for each word, but the task is 'depth'",
        ),
        (None, {"task": {"name": "semantic", "unseen": ["background"]}}, "task.unseen has 'background'"),
        ("augmentation", {"proportions": {"2x2": float("nan")}}, "proportions"),
    ],
)
def test_values_out_of_range_are_told_before_any_stage_runs(
    tmp_path: Path, section: str | None, changes: dict, says: str
) -> None:
    def edit(content: dict) -> None:
        block = content["benchmarks"]["coco"]
        (block[section] if section else block).update(changes)

    with pytest.raises(DatasetDMError, match=says):
        load_params(edited(tmp_path, edit))


def test_a_benchmarks_name_is_no_path(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["../../x"] = content["benchmarks"]["coco"]

    with pytest.raises(DatasetDMError, match="benchmarks"):
        load_params(edited(tmp_path, edit))


def test_a_setting_under_its_old_name_is_an_error_that_gives_the_new_one(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["backbone"]["device"] = "cpu"
        block = content["benchmarks"]["coco"]
        block["synthesis"]["guidance_scale"] = 2.0
        block["downstream"]["arms"] = ["real"]
        block["decoder"]["noise_draws"] = 4
        block.pop("experiment")

    with pytest.raises(DatasetDMError) as raised:
        load_params(edited(tmp_path, edit))
    assert sorted(line.strip() for line in str(raised.value).splitlines()[1:]) == [
        "backbone.device is now called device",
        "benchmarks.coco.decoder.noise_draws is now called benchmarks.coco.decoder.ensemble_size",
        "benchmarks.coco.downstream.arms is now called benchmarks.coco.experiment.arms",
        "benchmarks.coco.experiment is missing",
        "benchmarks.coco.synthesis.guidance_scale is now called benchmarks.coco.synthesis.sampler.guidance_scale",
    ]


def test_the_new_names_of_settings_exist() -> None:
    params = load_params(ROOT / "params.yaml")
    for new in RENAMED.values():
        reduce(getattr, new.split("."), params.benchmark("coco") if "." in new else params)


def test_a_subject_goes_by_its_new_name(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["source"]["names"] = {"cup": "coffee cup"}
        content["benchmarks"]["coco"]["prompts"]["subjects"] = ["cup"]

    with pytest.raises(DatasetDMError, match=r"'cup', which source\.names calls 'coffee cup'"):
        load_params(edited(tmp_path, edit))


def test_scenes_and_distributions_are_those_that_there_are() -> None:
    from datasetdm.miniworld.distributions import DISTRIBUTIONS
    from datasetdm.prompts.scenes import SCENES

    assert get_args(Scene) == tuple(SCENES)
    assert set(get_args(Distribution)) == set(DISTRIBUTIONS)


WRONG = {
    "seeds": 0,
    "source": {"format": "coco", "root": " ", "miniworld": {"distribution": "moon", "num_train": 0, "num_val": 9}},
    "ingest": {"num_real": 40, "num_dev": 60, "num_oracle": 300, "tail_images": 2},
    "prompts": {"num_prompts": "some", "scenes": ["moon"], "subjects": ["dog", "dog", ""]},
    "augmentation": {"num_images": 10, "proportions": {"2x2": 0, "3x3": -1, "two": 1}, "max_size": 200},
}
TOLD = """
coco.seeds is 0; write a list: [0]
coco.source.root is empty; name the folder of the data set
coco.source.miniworld.distribution is 'moon'; choose one of 'web', 'coco', 'long_tail', 'street', 'room', 'figure'
coco.source.miniworld.num_train is 0; it has to be above 0
coco.decoder.num_heads is 8 and hidden_dim is 97; hidden_dim has to be a multiple of 4 and of num_heads
coco.prompts.num_prompts is 'some'; write a whole number
coco.prompts.subjects.2 is an empty text
coco.prompts.scenes.0 is 'moon'; choose one of 'field', 'street', 'beach', 'water', 'snow', 'room', 'table'
coco.augmentation.proportions.2x2 is 0; it has to be above 0
coco.augmentation.proportions.3x3 is -1; it has to be above 0
coco.augmentation.proportions.two is 'two'; write rows x columns, such as 2x3
coco.downstream.iterations is missing
coco.ingest.tail_images is 2 but task.tail names no category
nyu.task.max_depth is 10; it has to be above min_depth, which is 10
kitti.task.max_depth is 300; it has to be at most 255.996
"""


def test_all_problems_are_told_at_once_in_plain_words(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        blocks = content["benchmarks"]
        blocks["coco"] |= WRONG
        blocks["coco"]["decoder"]["hidden_dim"] = 97
        blocks["coco"]["downstream"].pop("iterations")
        blocks["nyu"]["task"]["min_depth"] = 10.0
        blocks["kitti"]["task"]["max_depth"] = 300

    with pytest.raises(DatasetDMError) as told:
        load_params(edited(tmp_path, edit))
    first, *lines = str(told.value).splitlines()
    assert first.endswith("params.yaml has 15 problems:")
    assert sorted(lines) == sorted(f"  benchmarks.{line}" for line in TOLD.strip().splitlines())


def test_the_category_of_a_depth_map_does_not_come_from_the_prompt(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["nyu"]["decoder"]["category_from_prompt"] = True

    with pytest.raises(DatasetDMError, match=r"nyu\.decoder\.category_from_prompt is true, but 'depth' has no"):
        load_params(edited(tmp_path, edit))


def test_sections_that_disagree_are_told_together(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        block = content["benchmarks"]["voc_long_tail"]
        block["ingest"] |= {"tail_images": 50, "num_oracle": 0, "num_test": 999}
        block["task"] = "depth"

    with pytest.raises(DatasetDMError) as told:
        load_params(edited(tmp_path, edit))
    assert [line.split(".", 2)[2] for line in str(told.value).splitlines()[1:]] == [
        "source.format is 'voc', which holds annotations for the task 'semantic', not for 'depth'",
        "decoder.category_from_prompt is true, but 'depth' has no categories that prompts could name",
        "decoder.reading.attention is true, which finds a mask for each word, but the task is 'depth'; remove it",
        "experiment.arms has 'oracle' but ingest.num_oracle is 0",
        "ingest.tail_images is 50 but task.tail names no category",
        "source.miniworld.num_val is 150, but ingest.num_test asks for 999",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-set", "Dagster's assets have this name; try my_set"),
        ("input", "Dagster needs this name"),
        ("leaderboard", "Dagster needs this name"),
        ("coco_study", "the study of the benchmark coco"),
        ("real_coco", "in the chain of coco"),
        ("plan_train_decoder_coco", "in the chain of coco"),
        (2017, "put it in quotes"),
    ],
)
def test_a_benchmarks_name_fits_dagster_and_mlflow(tmp_path: Path, name: object, says: str) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"][name] = content["benchmarks"]["coco"]

    with pytest.raises(DatasetDMError, match=says):
        load_params(edited(tmp_path, edit))


def test_names_of_assets_are_those_of_the_stages() -> None:
    from datasetdm.config.benchmark import ASSETS
    from datasetdm.pipeline.stages import STAGES

    assert tuple(stage.asset for stage in STAGES.values()) == ASSETS


def test_what_models_refuse_is_told_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasetdm.pipeline.context import open_context

    def edit(content: dict) -> None:
        content["backbone"] |= {"path": str(ROOT / "data/backbones/miniworld"), "image_size": 100}
        content["benchmarks"]["coco"]["synthesis"]["sampler"]["scheduler"] = "pndm"
        content["benchmarks"]["coco"]["downstream"]["model"] = "yolo"
        content["benchmarks"]["coco"]["seeds"] = 0

    edited(tmp_path, edit)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetDMError) as told:
        open_context("coco")
    lines = str(told.value).splitlines()
    assert len(lines) == 5 and "write a list" in lines[1] and "'yolo'" in lines[2]
    assert re.search(r"backbone.image_size is 100; this model needs a multiple of \d+", lines[3])
    assert "synthesis.sampler.scheduler is 'pndm', which cannot start from the zero" in lines[4]


def test_the_size_that_a_model_needs_is_that_of_its_features() -> None:
    from datasetdm.config import Backbone
    from datasetdm.diffusion import image_size_step, load_backbone

    settings = Backbone(path=str(ROOT / "data/backbones/miniworld"), image_size=128)
    assert image_size_step(settings) == load_backbone(settings, "cpu").feature_info[0].stride


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(content: dict) -> None:
        content["backbone"]["path"] = "~/models/sd"
        content["benchmarks"]["coco"]["source"] = {"format": "coco", "root": "~/coco"}

    monkeypatch.setenv("HOME", "/home/someone")
    params = load_params(edited(tmp_path, edit))
    assert params.backbone.path == "/home/someone/models/sd"
    assert params.benchmark("coco").source.root == Path("/home/someone/coco")
    assert params.benchmark("voc").source.root == Path("data/raw/miniworld/voc")


def test_shares_of_varied_prompts_beyond_one_are_refused() -> None:
    told = r"empty 0\.5, drop_word 0\.3, wrong_word 0\.2, generic 0\.15 add up to 1\.15"
    with pytest.raises(ValidationError, match=told):
        PromptNoise(empty=0.5, drop_word=0.3, wrong_word=0.2)
    noise = PromptNoise(empty=0.4, drop_word=0.3, wrong_word=0.2, generic=0.1)
    assert sum(noise.model_dump().values()) == pytest.approx(1)


def test_fewest_and_most_objects_are_held_against_each_other(tmp_path: Path) -> None:
    def edit(content) -> None:
        content["benchmarks"]["coco"]["prompts"] = {"num_prompts": 4, "max_objects": 2, "min_objects": 3}
        content["benchmarks"]["lvis"]["prompts"] = {"num_prompts": 4, "min_objects": 5}
        content["benchmarks"]["voc"]["prompts"] = {"num_prompts": 4, "selection": {"duplicates": 0, "balance": "rare"}}

    with pytest.raises(DatasetDMError) as error:
        load_params(edited(tmp_path, edit))
    assert "benchmarks.coco.prompts.min_objects is 3, more than max_objects, which is 2" in str(error.value)
    assert "benchmarks.lvis.prompts.min_objects is 5, more than max_objects, which is 4" in str(error.value)
    assert "benchmarks.voc.prompts.selection.duplicates is 0; it has to be above 0" in str(error.value)
    assert "prompts.selection.balance is 'rare'; choose one of 'uniform', 'real', 'sqrt'" in str(error.value)


def test_only_the_settings_of_the_chosen_kind_of_threshold_are_listed() -> None:
    by_hand, promised = Filter(score_threshold=0.3), Filter(target_precision=0.9)
    assert {"target_precision", "confidence"}.isdisjoint(by_hand.model_dump()) and promised.fewest_tested == 33
    assert "score_threshold" not in promised.model_dump() and by_hand.fewest_tested == 0


def test_nothing_can_be_promised_without_scores() -> None:
    nyu = load_params(ROOT / "params.yaml").benchmark("nyu")
    promised = nyu.synthesis.model_copy(update={"filter": Filter(target_precision=0.9)})
    said = disagreements({"task": nyu.task, "ingest": nyu.ingest, "synthesis": promised})
    assert said == ["synthesis.filter.target_precision is set, but 'depth' has no scores that could be calibrated"]


def test_regions_are_ignored_where_there_are_objects() -> None:
    pose = load_params(ROOT / "params.yaml").benchmark("coco_pose")
    ignoring = pose.synthesis.model_copy(update={"filter": Filter(ignore_threshold=0.1)})
    downstream = pose.downstream.model_copy(update={"hide_ignored": True})
    said = disagreements({"task": pose.task, "synthesis": ignoring, "downstream": downstream})
    assert len(said) == 2 and all("is for the task 'instance'" in problem for problem in said)
