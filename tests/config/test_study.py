"""The block `study`: what it lays over the benchmarks."""

from pathlib import Path

import pytest
import yaml

from datasetdm.arms import ARMS
from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError

ROOT = Path(__file__).parents[2]


def test_study_lays_over_every_benchmark() -> None:
    demo, study = load_params(ROOT / "params.yaml"), load_params(ROOT / "params.yaml", study=True)
    assert demo.benchmark("coco").seeds == (0,)
    assert study.benchmark("coco").seeds == (0, 1, 2, 3, 4)
    assert study.benchmark("coco").synthesis.num_images > demo.benchmark("coco").synthesis.num_images
    assert study.benchmark("voc").decoder == demo.benchmark("voc").decoder


def edited(tmp_path: Path, edit) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    edit(content)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_study_has_all_arms_that_its_benchmarks_need() -> None:
    demo, study = load_params(ROOT / "params.yaml"), load_params(ROOT / "params.yaml", study=True)
    for name in demo.benchmarks:
        small, large = demo.benchmark(name).experiment, study.benchmark(name).experiment
        assert {"real", "both"} <= set(small.arms) and not small.p_decoder
        same_as_real = set() if demo.benchmark(name).augmentation.num_images else {"real_augmented"}
        assert set(ARMS) - {"pseudo"} - same_as_real <= set(large.arms) and large.p_decoder
    assert set(study.benchmark("coco").experiment.arms) == set(ARMS)


def test_a_study_may_lay_something_over_one_benchmark_alone(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["study"] = {"ingest": {"num_real": 33}}

    demo, study = load_params(edited(tmp_path, edit)), load_params(edited(tmp_path, edit), study=True)
    assert (demo.benchmark("coco").ingest.num_real, study.benchmark("coco").ingest.num_real) == (20, 33)
    assert study.benchmark("coco").ingest.num_oracle == study.benchmark("voc").ingest.num_oracle == 600
    assert study.benchmark("voc").ingest.num_real == demo.benchmark("voc").ingest.num_real


def test_a_benchmark_leaves_with_what_its_study_overrides(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        del content["benchmarks"]["coco"]

    study = load_params(edited(tmp_path, edit), study=True)
    assert "coco" not in study.benchmarks and study.benchmark("voc").seeds == (0, 1, 2)


def test_a_wrong_setting_of_ones_own_study_is_reported(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["voc"]["study"] = {"decoder": {"iterationz": 3}}

    with pytest.raises(DatasetDMError, match=r"benchmarks\.voc\.decoder\.iterationz"):
        load_params(edited(tmp_path, edit), study=True)


@pytest.mark.parametrize("wrong", ["large", [1], 3])
def test_a_study_that_is_no_block_is_reported(tmp_path: Path, wrong: object) -> None:
    def edit(content: dict) -> None:
        content["study"] = content["benchmarks"]["voc"]["study"] = wrong

    with pytest.raises(DatasetDMError) as told:
        load_params(edited(tmp_path, edit), study=True)
    assert "\n  study" in str(told.value) and "benchmarks.voc.study" in str(told.value)


def test_a_study_of_ones_own_data_renders_nothing(tmp_path: Path) -> None:
    def edit(content: dict) -> None:
        content["benchmarks"]["coco"]["source"] = {"format": "coco", "root": "/mine"}

    study = load_params(edited(tmp_path, edit), study=True)
    assert study.benchmark("coco").source.miniworld is None
    miniworld = study.benchmark("voc").source.miniworld
    assert miniworld is not None and miniworld.num_val == 300
