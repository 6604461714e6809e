"""The promises of the environment: pinned, quiet, and fit for Dagster and DVC at once."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def requirements(file):
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def pins():
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in requirements("requirements.lock")
    }


def test_lock_holds_names_and_versions_only():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line), line


def test_lock_covers_the_direct_dependencies():
    locked = pins()
    for requirement in [*requirements("requirements.in"), *requirements("requirements-dev.in")]:
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True)


def test_environment_is_the_lock():
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in pins()}
    assert installed == pins()


def test_dagster_selections_and_dvc_overrides_share_one_antlr():
    from dagster import AssetKey, AssetSelection, asset
    from hydra.core.override_parser.overrides_parser import OverridesParser

    @asset
    def upstream(): ...

    @asset(deps=[upstream])
    def downstream(): ...

    for selection in ("*downstream", '+key:"downstream"'):
        selected = AssetSelection.from_string(selection).resolve([upstream, downstream])
        assert selected == {AssetKey("upstream"), AssetKey("downstream")}
    (override,) = OverridesParser.create().parse_overrides(["benchmarks.coco.seeds=[0,1]"])
    assert override.value() == [0, 1]


def test_compiled_ops_of_mmcv_run():
    import mmcv.ops
    import torch

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.1], [8.0, 8.0, 9.0, 9.0]])
    _, kept = mmcv.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5)
    assert kept.tolist() == [0, 2]


def test_telemetry_is_off(monkeypatch):
    from mlflow.telemetry.utils import is_telemetry_disabled

    settings = dotenv_values(ROOT / ".env.example")
    for name in ("CI", "PYTEST_CURRENT_TEST", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", settings["MLFLOW_DISABLE_TELEMETRY"])
    assert is_telemetry_disabled()
    code = "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    environment = {"HF_HUB_DISABLE_TELEMETRY": settings["HF_HUB_DISABLE_TELEMETRY"]}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert answer.stdout.strip() == "True"
    settings = yaml.safe_load((ROOT / "scripts" / "dagster.yaml").read_text())
    assert settings["telemetry"] == settings["nux"] == {"enabled": False}
    assert "analytics = false" in (ROOT / ".dvc" / "config").read_text()


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout")
def test_git_ignores_what_is_made_and_secret_and_keeps_what_is_shipped():
    made = [".env", ".venv/x", ".dagster_home/x", "mlflow/mlflow.db", "mlflow/artifacts/x", "data/synthetic/coco/x"]
    kept = ["data/backbones/miniworld/model_index.json", ".env.example", "dvc.lock", "mlflow/README.md", ".dvc/config"]
    command = ["git", "check-ignore", "--no-index", *made, *kept]
    ignored = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.split()
    assert ignored == made


def test_folder_mlflow_does_not_shadow_the_package():
    assert not list((ROOT / "mlflow").rglob("*.py"))
