"""Rounds of drawing: the units of one chain, whatever the order; and a weakness that is found, named and asked for."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasetdm.annotations.instances import Instances
from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.rounds.choice import read_rounds
from datasetdm.pipeline.stages import STAGES
from datasetdm.reports.rounds import round_sections
from datasetdm.utils.files import read_json

REALDATA = Path(__file__).parents[3] / "shared/realdata/COCO2017"
MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
STAGE = STAGES["synthesize"]
SHARDS = [f"shard_{number:05d}" for number in range(4)]
KEYS = [*SHARDS[:2], "round_1/seed_0", "round_1/choice", *SHARDS[2:], "round_2/seed_0", "round_2/choice"]


def plan() -> Plan:
    return STAGE.plan(open_context("coco"))


def folders() -> dict[str, str]:
    return {unit.key: unit.folder.name for unit in plan()}


class FakeFamily:
    """A downstream model that is trained in no time and knows all of dev, except for what it is blind to."""

    def __init__(self, blind: Callable[[str], bool]):
        self.blind, self.trained_on = blind, []

    def check_installed(self) -> None:
        pass

    def check_model(self, settings: Any) -> None:
        """Everything suits it."""

    def train(self, settings: Any, *, datasets: Sequence[Labelled], out: Path, **options: Any) -> None:
        self.trained_on.append((settings.iterations, [part.subset for part in datasets]))
        out.mkdir()
        for name in ("metrics.json", "curves.csv", "model.safetensors"):
            (out / name).write_text("{}")

    def load(self, folder: Path, device: str) -> "FakeFamily":
        assert (folder / "model.safetensors").exists()
        context = open_context("coco")
        dev = standard_format(*context.task().kind).load(context.paths.real, "dev")
        self.known = {sample.image.tobytes(): sample for sample in dev}
        return self

    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Any = None) -> list[Instances]:
        samples = [self.known[image.tobytes()] for image in images]
        kept = [slice(0) if self.blind(sample.caption) else slice(None) for sample in samples]
        return [sample.target.select(some) for sample, some in zip(samples, kept, strict=True)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeFamily:
    """A model that is blind at night."""
    family = FakeFamily(lambda caption: "night" in caption or "dark" in caption)
    monkeypatch.setitem(DOWNSTREAM, "instance", family)  # type: ignore[arg-type]
    return family


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `ready` keeps what it has made, as that takes longer than the tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def ready(project, edit, kept) -> Path:
    """A project that has got as far as its prompts, with more of these than images, of which there are seven."""
    folder = project(MINIWORLD)
    edit("benchmarks.coco.prompts.num_prompts", 12)
    edit("benchmarks.coco.synthesis.num_images", 7)
    if (kept / "data").exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    else:
        assert main(["run", "coco", "--until", "write_prompts"]) == 0
        for name in ("data", "mlflow"):
            shutil.copytree(folder / name, kept / name)
    return folder


def test_one_round_is_what_it_was_before_there_were_rounds(ready, edit) -> None:
    once = folders()
    assert list(once) == SHARDS
    context = open_context("coco")
    assert set(STAGE.settings(context)) == {"task", "seeds", "synthesis", "backbone"}
    assert not {"rounds", "feedback"} & set(STAGE.settings(context)["synthesis"])
    edit("benchmarks.coco.synthesis.rounds", 1)
    edit("benchmarks.coco.synthesis.feedback", {"strength": 1.0})
    edit("benchmarks.coco.downstream.iterations", 3)
    assert folders() == once
    edit("benchmarks.coco.synthesis.rounds", 2)
    twice = folders()
    assert list(twice) == KEYS
    assert [twice[key] for key in SHARDS[:2]] == [once[key] for key in SHARDS[:2]]  # the same images
    assert not {twice[key] for key in KEYS[2:]} & set(once.values())


def test_units_are_named_by_what_they_depend_on(ready, edit) -> None:
    edit("benchmarks.coco.synthesis.rounds", 2)
    first = folders()

    def changed() -> set[str]:
        now = folders()
        return {key for key in KEYS if now[key] != first[key]}

    later = {"round_1/choice", *SHARDS[2:], "round_2/seed_0", "round_2/choice"}
    edit("benchmarks.coco.synthesis.feedback", {"strength": 1.0})
    assert changed() == later  # the feedback of the first round is not trained again
    edit("benchmarks.coco.synthesis.feedback", {"iterations": 7})
    assert changed() == later | {"round_1/seed_0"}
    edit("benchmarks.coco.synthesis.feedback", {})
    edit("benchmarks.coco.experiment.real_weight", 0.25)
    assert changed() == later | {"round_1/seed_0"}
    edit("benchmarks.coco.experiment.real_weight", 0.5)
    assert changed() == set()
    table = open_context("coco").paths.prompts
    frame = pd.read_csv(table)
    frame.loc[11, "prompt"] = "a photo of a red car"  # no image of the first round is drawn from it
    frame.to_csv(table, index=False)
    assert changed() == later


def test_units_may_be_asked_for_in_any_order(ready, edit, fake) -> None:
    edit("benchmarks.coco.synthesis.rounds", 2)
    context, whole = open_context("coco"), plan()
    assert whole.missing() == KEYS
    STAGE.make(context, whole["shard_00003"])  # of the second round
    assert whole.missing() == ["shard_00002", "round_2/seed_0", "round_2/choice"]
    for key in reversed(KEYS):
        STAGE.make(context, whole[key])
    assert whole.missing() == []
    assert len(fake.trained_on) == 2  # once after each round
    assert not list(Path("data/.work/synthesize").glob("*/model"))  # nobody needs these models again


def test_what_was_lost_is_made_again_alike(ready, edit, fake) -> None:
    edit("benchmarks.coco.synthesis.rounds", 2)
    assert main(["synthesize", "coco"]) == 0
    published = Path("data/synthetic/coco")
    before = {path.relative_to(published): path.read_bytes() for path in published.rglob("*") if path.is_file()}
    whole = plan()
    (whole["round_1/choice"].folder / "round.json").write_text("{}")
    (whole["shard_00002"].folder / "manifest.parquet").unlink()
    assert whole.missing() == ["round_1/choice", "shard_00002"]
    assert main(["synthesize", "coco"]) == 0
    after = {path.relative_to(published): path.read_bytes() for path in published.rglob("*") if path.is_file()}
    assert after == before and len(fake.trained_on) == 2


def test_the_published_set_says_what_each_round_was_for(ready, edit, fake, capsys) -> None:
    edit("benchmarks.coco.synthesis.rounds", 2)
    assert main(["synthesize", "coco"]) == 0
    said = capsys.readouterr().out
    assert "round 1: most needed are " in said
    folder = Path("data/synthetic/coco")
    manifest = pd.read_parquet(folder / "manifest.parquet")
    assert manifest["image"].tolist() == [f"{index:06d}.png" for index in range(7)]
    assert manifest["round"].tolist() == [1, 1, 1, 1, 2, 2, 2]
    rounds = read_rounds(folder)
    assert [one["round"] for one in rounds] == [1, 2] and [one["images"] for one in rounds] == [4, 7]
    assert rounds[0]["next"] == manifest["prompt_id"].tolist()[4:] and rounds[1]["next"] == []
    assert manifest["seed"].is_unique
    assert all(0 <= found["need"] <= 1 for one in rounds for found in one["slices"].values())
    assert fake.trained_on[0] == (1, ["few_shot_0", "seed_0", "seed_0"])  # a quarter of two iterations, at least one
    assert main(["synthesize", "coco"]) == 0  # a no-op
    assert len(fake.trained_on) == 2


@pytest.mark.extended
def test_a_weakness_is_found_named_and_asked_for(project, edit, fake) -> None:
    """A model that finds nothing at night; the chain is real but for this model."""
    source = {**MINIWORLD, "miniworld": {**MINIWORLD["miniworld"], "num_train": 110}}
    project(source)
    for name, value in {"num_dev": 90, "num_oracle": 0}.items():
        edit(f"benchmarks.coco.ingest.{name}", value)
    edit("benchmarks.coco.experiment.arms", ["real", "both"])
    edit("benchmarks.coco.decoder.evaluate_every", 4)  # once
    edit("benchmarks.coco.prompts.num_prompts", 100)
    edit("benchmarks.coco.synthesis.num_images", 40)
    edit("benchmarks.coco.synthesis.shard_size", 20)
    edit("benchmarks.coco.synthesis.rounds", 2)
    edit("benchmarks.coco.synthesis.sampler.num_inference_steps", 1)
    edit("benchmarks.coco.synthesis.feedback", {"strength": 6.0, "shrinkage": 1.0})
    assert main(["run", "coco", "--until", "write_prompts"]) == 0
    table = Path("data/prompts/coco.csv")
    frame = pd.read_csv(table, keep_default_na=False)
    frame.loc[::10, "prompt"] += " at night"  # few templates say so
    frame.to_csv(table, index=False)
    assert main(["synthesize", "coco"]) == 0
    rounds = read_rounds(Path("data/synthetic/coco"))
    night = rounds[0]["slices"]["light: night"]
    assert night["value"] == 0.0 < rounds[0]["score"]["value"] and night["count"] >= 5
    assert night["weakness"] == max(found["weakness"] for found in rounds[0]["slices"].values())
    assert "light: night" in [row[0] for row in round_sections(rounds)[0].rows]
    assert night["share_of_next"] > 1.5 * night["share_of_prompts"] > 0
    manifest = pd.read_parquet("data/synthetic/coco/manifest.parquet")
    drawn = manifest["prompt"].str.contains("night").groupby(manifest["round"]).mean()
    assert drawn[2] == pytest.approx(night["share_of_next"])


def test_depth_has_rounds_too(project, edit, tiny) -> None:
    """No categories, no scores of the P-Decoder, lower is better."""
    project(MINIWORLD)
    source = {
        "format": "nyu",
        "root": "data/raw/miniworld/nyu",
        "miniworld": {"distribution": "room", "num_train": 40, "num_val": 5},
    }
    downstream = {**tiny["downstream"], "model": "upernet_r18"}
    prompts = {"num_prompts": 8, "subjects": ["chair", "lamp"], "scenes": ["room"]}
    synthesis = {**tiny["synthesis"], "num_images": 4, "rounds": 2}
    block = {**tiny, "task": "depth", "source": source, "downstream": downstream, "prompts": prompts}
    edit("benchmarks", {"coco": {**block, "synthesis": synthesis}})
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    (first, second) = read_rounds(Path("data/synthetic/coco"))
    assert first["metric"] == "abs_rel" and first["score"]["value"] > 0 and len(first["next"]) == 2
    judged = [name for name, found in second["slices"].items() if found["value"] is not None]
    assert judged and all(name.startswith(("light", "weather", "place")) for name in judged)


@pytest.mark.extended  # the chain with rounds runs in test_kills.py, and the sections of the page in reports
def test_the_report_shows_the_rounds(project, edit) -> None:
    folder = project(MINIWORLD)
    edit("benchmarks.coco.experiment.arms", ["real", "both"])
    edit("benchmarks.coco.synthesis.rounds", 2)
    assert main(["run", "coco"]) == 0
    page = (folder / "data/reports/coco/index.html").read_text()
    assert "<h2>Rounds</h2>" in page and "After round 2" in page
    metrics = read_json(folder / "data/reports/coco/metrics.json", remedy="")
    assert list(metrics["arms"]) == ["real", "both"]


@pytest.mark.extended
@pytest.mark.skipif(not REALDATA.exists(), reason=f"the real COCO samples are not at {REALDATA}")
def test_rounds_on_real_photographs(project, edit) -> None:
    """80 categories, five captions by people, images of all sizes."""
    project({"format": "coco", "root": str(REALDATA)})
    edit("backbone.allow_mismatch", True)
    for name, value in {"num_queries": 20, "iterations": 600, "evaluate_every": 300, "learning_rate": 0.001}.items():
        edit(f"benchmarks.coco.decoder.{name}", value)
    edit("benchmarks.coco.prompts.num_prompts", 40)
    edit("benchmarks.coco.synthesis.num_images", 6)
    edit("benchmarks.coco.synthesis.rounds", 3)
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    rounds = read_rounds(Path("data/synthetic/coco"))
    assert [one["images"] for one in rounds] == [2, 4, 6]
    assert json.loads(Path("data/synthetic/coco/rounds/3.json").read_text())["next"] == []
    assert any(name.startswith("category: ") and found["count"] for name, found in rounds[0]["slices"].items())
