"""The promises of the environment: pinned, quiet, and fit for Dagster and DVC at once."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-detection.lock")


def requirements(file):
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def pins(lock):
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in requirements(lock)}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_names_and_versions_only(lock):
    for line in (ROOT / lock).read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line), line


def test_locks_cover_the_direct_dependencies_and_do_not_overlap():
    always, detection = (pins(lock) for lock in LOCKS)
    assert not always.keys() & detection.keys()
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["detection"]
    for locked, wanted in (
        (always, [*requirements("requirements.in"), *requirements("requirements-dev.in")]),
        (detection, map(Requirement, extra)),
    ):
        for requirement in wanted:
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_admits_the_first_python_3_11(lock):
    """Debian 12 has Python 3.11.2, and pip refuses the whole lock for one package that wants a later one."""
    for name in pins(lock):
        wanted = importlib.metadata.metadata(name).get("Requires-Python")
        assert wanted is None or SpecifierSet(wanted).contains("3.11.0"), f"{name}: {wanted}"


@pytest.mark.parametrize("lock", LOCKS)
def test_environment_is_the_lock(lock):
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in pins(lock)}
    assert installed == pins(lock)


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
