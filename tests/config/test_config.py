"""The settings: what is accepted, and what a typing mistake is answered with."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from datasetdm.config import PromptNoise, load_params
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", ["params.yaml", "params/paper.yaml"])
def test_shipped_settings_are_valid(file: str) -> None:
    demo, study = load_params(ROOT / file), load_params(ROOT / file, study=True)
    for name in demo.benchmarks:
        assert len(study.benchmark(name).seeds) > len(demo.benchmark(name).seeds)
        assert "real_augmented" in study.benchmark(name).downstream.arms


def test_paper_settings_hold_the_papers_figures() -> None:
    paper = load_params(ROOT / "params/paper.yaml")
    coco = paper.benchmark("coco")
    assert paper.backbone.path == "CompVis/stable-diffusion-v1-4"
    assert (coco.ingest.num_real, coco.synthesis.num_images) == (400, 80_000)
    assert coco.synthesis.guidance_scale == 5.0 and coco.synthesis.num_inference_steps == 50
    assert coco.downstream.model == "mask2former_swin-b"
    assert sum(coco.augmentation.proportions.values()) * 1000 == coco.augmentation.num_images


def test_study_lays_over_every_benchmark() -> None:
    demo, study = load_params(ROOT / "params.yaml"), load_params(ROOT / "params.yaml", study=True)
    assert demo.benchmark("coco").seeds == (0,)
    assert study.benchmark("coco").seeds == (0, 1, 2, 3, 4)
    assert study.benchmark("coco").synthesis.num_images > demo.benchmark("coco").synthesis.num_images
    assert study.benchmark("coco").decoder == demo.benchmark("coco").decoder


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
    with pytest.raises(DatasetDMError, match=r"benchmarks\.coco\.decoder\.iterations.*integer"):
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
        ({"name": "depth", "unseen": ["dog"]}, r"task\.depth\.unseen"),
    ],
)
def test_an_unknown_task_or_one_with_settings_of_another_is_named(tmp_path: Path, task: object, says: str) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["coco"].update(task=task))
    with pytest.raises(DatasetDMError, match=says):
        load_params(file)


def test_oracle_arm_needs_oracle_images(tmp_path: Path) -> None:
    file = edited(tmp_path, lambda content: content["benchmarks"]["coco"]["ingest"].pop("num_oracle"))
    with pytest.raises(DatasetDMError, match="num_oracle"):
        load_params(file)


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_broken_file_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(DatasetDMError, match=r"params\.yaml"):
        load_params(file)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match="root folder"):
        load_params(tmp_path / "params.yaml")


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
        content["benchmarks"]["coco"]["downstream"]["arms"] = arms
        content["benchmarks"]["coco"]["ingest"]["num_oracle"] = num_oracle

    with pytest.raises(DatasetDMError, match=says):
        load_params(edited(tmp_path, edit))


def test_the_demo_has_four_arms_and_the_study_all_controls() -> None:
    demo, study = load_params(ROOT / "params.yaml"), load_params(ROOT / "params.yaml", study=True)
    for name in demo.benchmarks:
        small, large = demo.benchmark(name).downstream, study.benchmark(name).downstream
        assert small.arms == ("real", "synthetic", "both", "oracle") and not small.p_decoder
        assert set(large.arms) == {*small.arms, "real_augmented", "self_training", "pseudo"} and large.p_decoder


@pytest.mark.parametrize(
    ("section", "changes", "says"),
    [
        (None, {"task": "depth"}, "holds annotations for the task 'instance', not for 'depth'"),
        (None, {"seeds": [-1]}, "seeds"),
        (None, {"seeds": [0, 0]}, "seeds lists something twice"),
        ("downstream", {"arms": []}, "arms"),
        ("downstream", {"arms": ["real", "real"]}, "arms lists something twice"),
        ("downstream", {"learning_rate": float("inf")}, "learning_rate"),
        ("decoder", {"timestep": 1000}, "timestep"),
        ("decoder", {"train_timesteps": [500, 5]}, "the first has to be the lower one"),
        ("synthesis", {"num_inference_steps": 100_000}, "num_inference_steps"),
        (
            "synthesis",
            {"score_threshold": 0.3, "doubt_threshold": 0.3},
            "doubt_threshold has to be below score_threshold",
        ),
        ("decoder", {"dropout": 1.0}, "dropout"),
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


def test_a_study_of_ones_own_data_renders_nothing(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["source"] = {"format": "coco", "root": "/mine"}

    study = load_params(edited(tmp_path, edit), study=True)
    assert study.benchmark("coco").source.miniworld is None
    miniworld = study.benchmark("voc").source.miniworld
    assert miniworld is not None and miniworld.num_val == 500


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", None])
def test_a_file_that_is_no_text_is_told(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "params.yaml"
    file.mkdir() if data is None else file.write_bytes(data)
    with pytest.raises(DatasetDMError, match=r"params\.yaml"):
        load_params(file)


def test_a_key_that_stands_twice_in_a_block_is_told_with_its_line(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(re.sub(r"prompts: {num_prompts: \d+", r"\g<0>, num_prompts: 4", text, count=1))
    with pytest.raises(DatasetDMError, match=r"not valid YAML: 'num_prompts' stands there twice.*line \d+"):
        load_params(file)


def test_what_a_block_takes_over_may_be_overruled(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    named, street = params.benchmark("voc").decoder, params.benchmark("cityscapes").decoder
    assert (named.category_from_prompt, street.category_from_prompt) == (True, False)
    assert street.model_copy(update={"category_from_prompt": True}) == named


def test_what_was_taken_over_and_overruled_may_be_taken_over_from_any_depth(tmp_path: Path) -> None:
    """YAML writes into a block what it takes over, and does that to a deeper one before it is read itself."""
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(
        "anchors: &base {seeds: [0]}\ndeep: {deeper: &over {<<: *base, seeds: [1]}}\nshallow: {<<: *over}\n" + text
    )
    with pytest.raises(DatasetDMError) as told:
        load_params(file)
    assert "'shallow' is not a setting" in str(told.value)


def test_a_subject_goes_by_its_new_name(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["source"]["names"] = {"cup": "coffee cup"}
        content["benchmarks"]["coco"]["prompts"]["subjects"] = ["cup"]

    with pytest.raises(DatasetDMError, match=r"'cup', which source\.names calls 'coffee cup'"):
        load_params(edited(tmp_path, edit))


def test_shares_of_varied_prompts_beyond_one_are_refused() -> None:
    told = r"empty 0\.5, drop_word 0\.3, wrong_word 0\.2, generic 0\.15 add up to 1\.15"
    with pytest.raises(ValidationError, match=told):
        PromptNoise(empty=0.5, drop_word=0.3, wrong_word=0.2)
    noise = PromptNoise(empty=0.4, drop_word=0.3, wrong_word=0.2, generic=0.1)
    assert sum(noise.model_dump().values()) == pytest.approx(1)
