"""Dagster and DVC describe the same chain: both graphs are read off what they load, and compared."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import Definitions
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from datasetdm.config import load_params
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.stages import STAGES
from orchestration.assets import asset_name, build_assets
from orchestration.checks import build_checks

PROJECT = Path(__file__).parents[2]
BACKBONES = "data/backbones"
STAGE_FILES = Path("datasetdm/pipeline/stages")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of params.yaml and dvc.yaml as the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / STAGE_FILES, tmp_path / STAGE_FILES)  # which DVC reads the code versions of
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return tmp_path


def edit(file: Path, change: Any) -> None:
    """Load a YAML file, change it in place, write it back."""
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def dvc_stages() -> dict[str, Any]:
    """`<stage>@<benchmark>` -> stage, as DVC resolves dvc.yaml in the current folder."""
    return {stage.name: stage for stage in Repo(".").index.stages}


def dvc_edges(stages: Mapping[str, Any]) -> dict[str, set[str]]:
    """Each stage and those whose outputs it reads."""
    makers = {out.def_path: name for name, stage in stages.items() for out in stage.outs}
    return {
        name: {makers[dep] for dep in file_dependencies(stage) if dep != BACKBONES} for name, stage in stages.items()
    }


def file_dependencies(stage: Any) -> set[str]:
    return {dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)}


def settings_dependencies(stage: Any, file: str = "params.yaml") -> set[str]:
    """The keys of a file of settings that a stage depends on."""
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return {name for dep in params if Path(dep.fs_path).name == Path(file).name for name in dep.params}


def covers(recorded: str, setting: str) -> bool:
    """Whether a change of `setting` is a change of what DVC has recorded (the setting or its section)."""
    return setting == recorded or setting.startswith(f"{recorded}.")


def definitions() -> Definitions:
    params = load_params()
    return Definitions(assets=build_assets(params, STAGES), asset_checks=build_checks(params, STAGES))


def dagster_edges() -> dict[str, set[str]]:
    """The asset graph, under the names that DVC has for it."""
    params = load_params()
    names = {
        asset_name(stage, benchmark): f"{stage.name}@{benchmark}"
        for benchmark in params.benchmarks
        for stage in STAGES.values()
    }
    graph = definitions().resolve_asset_graph()
    return {
        names[key.to_user_string()]: {names[parent.to_user_string()] for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }


def test_the_graphs_are_equal(project):
    assert dvc_edges(dvc_stages()) == dagster_edges()


def test_a_dependency_that_only_one_of_them_has_is_found(project):
    edit(project / "dvc.yaml", lambda content: content["stages"]["synthesize"]["do"]["deps"].pop())
    assert dvc_edges(dvc_stages()) != dagster_edges()


def test_a_new_benchmark_is_a_block_in_params_yaml(project):
    def add(content: dict[str, Any]) -> None:
        content["benchmarks"]["cars"] = content["benchmarks"]["coco"]

    before = set(dagster_edges())
    edit(project / "params.yaml", add)
    after = dagster_edges()
    assert set(after) - before == {f"{name}@cars" for name in STAGES}
    assert dvc_edges(dvc_stages()) == after


@pytest.mark.parametrize("name", STAGES)
def test_dvc_runs_the_stage_on_its_settings_and_outputs(project, name):
    stage, resolved = STAGES[name], dvc_stages()[f"{name}@coco"]
    assert resolved.cmd.endswith(f"python -m datasetdm {name} coco")

    needed = {f"benchmarks.coco.{key}" for key in stage.parameters}
    recorded = {key for key in settings_dependencies(resolved) if not key.startswith("backbone")}
    assert all(any(covers(key, setting) for key in recorded) for setting in needed)
    assert all(any(covers(key, setting) for setting in needed) for key in recorded)
    assert ("backbone" in settings_dependencies(resolved)) == ("backbone" in stage.shared_parameters)
    if "backbone" in stage.shared_parameters:
        assert BACKBONES in file_dependencies(resolved)

    output = Path(stage.output(open_context("coco")))
    published = [Path(out.def_path) for out in resolved.outs]
    assert published == [output] or all(output in path.parents for path in published)


@pytest.mark.parametrize("name", STAGES)
def test_dvc_and_the_stage_have_the_same_code_version(project, name):
    stage, resolved = STAGES[name], dvc_stages()[f"{name}@coco"]
    (versions,) = (dep for dep in resolved.deps if Path(dep.def_path).suffix == ".py")
    read = versions.read_params()
    assert set(read) == set(versions.params)
    assert ".".join(read[key] for key in sorted(read)) == stage.code_version
    assert read["CODE_VERSION"] == sys.modules[f"datasetdm.pipeline.stages.{name}"].CODE_VERSION


def test_dvcs_metric_is_the_headline_and_its_plots_are_pictures(project):
    """`dvc metrics show` prints a few figures, and `dvc plots show` needs no script from the internet."""
    (compare,) = (stage for name, stage in dvc_stages().items() if name == "compare@coco")
    assert [Path(out.def_path).name for out in compare.outs if out.metric] == ["headline.json"]
    assert [Path(out.def_path).name for out in compare.outs if out.plot] == ["arms.png", "curves.png"]
    assert "plots" not in yaml.safe_load((project / "dvc.yaml").read_text())


def test_settings_that_dvc_reads_are_in_params_yaml(project):
    content = yaml.safe_load((project / "params.yaml").read_text())
    for stage in dvc_stages().values():
        for name in settings_dependencies(stage):
            section = content
            for key in name.split("."):
                assert key in section, f"{name}, a setting of {stage.name}, is missing"
                section = section[key]


def test_every_stage_has_a_description_and_a_check(project):
    graph = definitions().resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        assert graph.get(key).description
        assert graph.get(key).group_name in load_params().benchmarks
        assert graph.get(key).check_keys
