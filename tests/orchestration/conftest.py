"""A toy chain in a folder of its own: real DVC, real Dagster, stages that count files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, ExecuteInProcessResult, FilesystemIOManager, materialize
from PIL import Image

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from orchestration.assets import build_assets
from orchestration.checks import build_checks

PROJECT = Path(__file__).parents[2]
BENCHMARK = "coco"
UNITS = ("both/0", "both/1", "self_training/0")

DVC_YAML = """
stages:
  count:
    foreach: ${benchmarks}
    do: {cmd: "true", params: ["benchmarks.${key}.seeds"], outs: ["data/counts/${key}"]}
  total:
    foreach: ${benchmarks}
    do: {cmd: "true", deps: ["data/counts/${key}"], outs: ["data/totals/${key}.txt"]}
"""


@dataclass
class Trouble:
    """What goes wrong in the toy chain, and what was tried."""

    error: Exception | None = None
    times: int = 0
    unit: str = UNITS[1]

    def __post_init__(self) -> None:
        self.attempts: list[str] = []

    def meet(self, unit: str) -> None:
        self.attempts.append(unit)
        if unit == self.unit and self.times > 0:
            self.times -= 1
            assert self.error is not None
            raise self.error


class Toy:
    """The toy project in the current folder."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance, self.trouble = instance, Trouble()
        self.run_ids: list[str] = []
        self.settings_seen: list[tuple[int, ...]] = []
        count = self._count()
        self.stages = {"count": count, "total": self._total(count)}
        self.params = load_params()

    def run(self, selection: str | None = None) -> ExecuteInProcessResult:
        """Materialise with checks."""
        return materialize(
            [*build_assets(self.params, self.stages), *build_checks(self.params, self.stages)],
            selection=selection,
            instance=self.instance,
            resources={"io_manager": FilesystemIOManager(base_dir="values")},
            raise_on_error=False,
        )

    def dvc(self, *arguments: str) -> str:
        """Output of a DVC command."""
        run = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=True)
        return run.stdout

    def _work(self, context: Context, key: str) -> Path:
        return context.paths.work("count") / f"{key.replace('/', '-')}.txt"

    def _count(self) -> Stage:
        def make(context: Context, unit: Unit) -> None:
            self.trouble.meet(unit.key)
            unit.folder.parent.mkdir(parents=True, exist_ok=True)
            unit.folder.write_text(f"{len(unit.key)}\n")

        def finish(context: Context, plan: Plan) -> StageResult:
            self.settings_seen.append(context.settings.seeds)
            folder = Path("data/counts") / context.benchmark
            folder.mkdir(parents=True, exist_ok=True)
            for key in UNITS:
                shutil.copy(self._work(context, key), folder)
            Image.new("RGB", (2000, 1000), "navy").save(folder / "picture.png")
            return StageResult(
                metrics={"units": len(UNITS), "missing": float("nan")},
                pictures=[str(folder / "picture.png")],
                tables={"Units": "| a |\n|---|\n| 1 |"},
            )

        return Stage(
            name="count",
            asset="counts",
            description="Counts letters.",
            upstream=(),
            parameters=("seeds",),
            code_version="7",
            units=lambda context: [Unit(key=key, folders=(self._work(context, key),)) for key in UNITS],
            make=make,
            finish=finish,
            output=lambda context: Path("data/counts") / context.benchmark,
            checks=(Check(name="complete", description="Every unit is there.", run=_complete),),
        )

    def _total(self, count: Stage) -> Stage:
        def finish(context: Context, plan: Plan) -> StageResult:
            self.settings_seen.append(context.settings.seeds)
            counts = Path("data/counts") / context.benchmark
            if not counts.exists():
                raise DatasetDMError(f"{counts} is missing. Make it with `python -m datasetdm count`.")
            self.run_ids.append(os.environ["DAGSTER_RUN_ID"])
            total = sum(int(file.read_text()) for file in counts.glob("*.txt"))
            output = Path("data/totals") / f"{context.benchmark}.txt"
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(str(total))
            return StageResult(metrics={"total": total})

        return Stage(
            name="total",
            asset="totals",
            description="Adds them up.",
            upstream=(count,),
            parameters=(),
            code_version="8",
            finish=finish,
            output=lambda context: Path("data/totals") / f"{context.benchmark}.txt",
        )


def _complete(context: Context, folder: Path) -> dict[str, int]:
    files = len(list(folder.glob("*.txt")))
    if files != len(UNITS):
        raise DatasetDMError(f"{folder} has {files} files, not {len(UNITS)}: run `count` again.")
    return {"files": files}


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    """One history for all tests: making it takes longer than most of them."""
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance) -> Toy:
    """The toy project, freshly initialised, as the current folder."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((PROJECT / "params.yaml").read_text())
    content["benchmarks"] = {"coco": content["benchmarks"]["coco"]}  # one will do
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    Path("dvc.yaml").write_text(DVC_YAML)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return Toy(instance)
