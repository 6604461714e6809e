"""What is left to do, and what that adds up to; the rates are given here, so that sums can be checked."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datasetdm.cli import main
from datasetdm.decoder.checkpoint import build_decoder, save_decoder
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.planning import rate
from datasetdm.pipeline.planning.cards import find_card
from datasetdm.pipeline.planning.plan import StagePlan, plan_stages
from datasetdm.pipeline.planning.rate import Rate
from datasetdm.pipeline.planning.work import Measure, units_of
from datasetdm.pipeline.prompt_sources import candidates
from datasetdm.pipeline.stages import STAGES
from datasetdm.prompts import encode_prompts
from datasetdm.utils.files import write_bytes

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


class Rates:
    """Every piece of work takes a second, and leaves ten bytes; what is `unknown` cannot be judged."""

    def __init__(self, context: Context, *unknown: Measure):
        self.rehearsal = SimpleNamespace(context=context, num_val=5, downloads=[])
        self.unknown = unknown

    def rate(self, measure: Measure) -> Rate:
        if measure in self.unknown:
            raise DatasetDMError("weights are missing")
        return Rate(seconds=1.0, processor=2.0, memory=1000, disk=10.0)


def plans(*unknown: Measure) -> dict[str, StagePlan]:
    context = open_context("coco")
    return {found.stage: found for found in plan_stages(context, Rates(context, *unknown), find_card("l4"))}  # type: ignore[arg-type]


@pytest.fixture
def ready(project, edit) -> Context:
    """A project with images, a P-Decoder and prompts."""
    project(MINIWORLD)
    edit("benchmarks.coco.experiment.arms", ["real", "both", "pseudo", "self_training"])
    assert main(["ingest", "coco"]) == 0
    context = open_context("coco")
    backbone, settings = context.backbone(), context.settings.decoder
    decoder = build_decoder(context.task(), backbone.feature_info, settings, None)
    save_decoder(context.paths.decoders / "0", decoder, context.task(), settings, backbone, 0)
    write_bytes(context.paths.prompts, encode_prompts(candidates(context)))
    return context


def test_a_new_project_has_everything_before_it(project) -> None:
    project(MINIWORLD)
    found = plans()
    assert list(found) == list(STAGES)
    assert {name: (plan.left, plan.units) for name, plan in found.items() if plan.units} == {
        "train_decoder": (1, 1),
        "synthesize": (3, 3),
        "augment": (1, 1),
        "train_downstream": (4, 4),
        "compare": (4, 4),
    }
    assert found["ingest"].work == {Measure.RENDER: 17, Measure.OPEN: 1, Measure.COPY: 4 + 3 + 3 + 4}
    # Five images in shards of two, each drawn in a batch of eight; and all are checked.
    assert found["synthesize"].work == {Measure.DRAW: 24, Measure.ANNOTATE: 24}
    assert found["synthesize"].seconds == found["synthesize"].card_seconds == 48 + 5
    assert found["synthesize"].processor == 2 * 53 and found["synthesize"].disk == 530
    # Four iterations, judged after two and four and then with three kinds of prompt, on three images.
    assert found["train_decoder"].work == {Measure.VIEW: 8, Measure.STEP: 4, Measure.READ: 15}
    assert not found["annotate"].runs and found["annotate"].seconds == 0
    assert found["compare"].work == {Measure.JUDGE: 16}


def test_what_cannot_be_judged_is_left_out_and_named(project) -> None:
    project(MINIWORLD)
    found = plans(Measure.DRAW)["synthesize"]
    assert found.unknown == {Measure.DRAW: "weights are missing"} and found.seconds == 24 + 5
    assert plans(Measure.ANNOTATE)["synthesize"].disk == 24 * 10 + 24 * 128 * 128 * 2 + 5 * 10
    assert found.work[Measure.DRAW] == 24


def test_rounds_are_shards_and_trainings(project, edit) -> None:
    project(MINIWORLD)
    edit("benchmarks.coco.synthesis.rounds", 2)
    edit("benchmarks.coco.synthesis.feedback", {"iterations": 7})
    found = plans()["synthesize"]
    assert found.units == 3 + 2 * 2  # three images and two, in shards of two
    assert (found.work[Measure.TRAIN], found.work[Measure.START]) == (14, 2)


def test_the_units_are_those_of_the_stages(ready, edit) -> None:
    for rounds in (1, 2):
        edit("benchmarks.coco.synthesis.rounds", rounds)
        context = open_context("coco")
        for name in ("train_decoder", "synthesize", "annotate"):
            assert list(units_of(name, context, 5)) == [unit.key for unit in STAGES[name].plan(context)], name
    edit("benchmarks.coco.synthesis.rounds", 1)
    edit("benchmarks.coco.synthesis.cross_validation", {"folds": 2, "iterations": 7})
    context = open_context("coco")
    planned = units_of("synthesize", context, 5)
    assert list(planned) == [unit.key for unit in STAGES["synthesize"].plan(context)]
    assert planned["cross_validation/seed_0/1"].work[Measure.TRAIN] == 7


def test_a_method_without_training_has_no_steps(ready, edit) -> None:
    edit("benchmarks.coco.decoder.method", "cross_attention")
    (unit,) = units_of("train_decoder", open_context("coco"), 5).values()
    assert set(unit.work) == {Measure.READ}


def test_finished_units_are_not_made_again_and_tell_the_time_of_others(ready, edit) -> None:
    context = ready
    shards = list(STAGES["synthesize"].plan(context))
    decoder = next(iter(STAGES["train_decoder"].plan(context))).folder
    for folder, seconds in ((decoder, 9.0), (shards[0].folder, 40.0), (shards[1].folder, 60.0)):
        folder.mkdir(parents=True)
        folder.with_suffix(".seconds").write_text(str(seconds))
    found = plans()
    assert not found["train_decoder"].runs
    left = found["synthesize"]
    assert (left.left, left.units, left.recorded) == (1, 3, True)
    assert left.seconds == 50 + 5 and left.work == {Measure.DRAW: 8, Measure.ANNOTATE: 8}
    assert left.disk == 160 + 50 and left.card_seconds == 16 + 5

    # Another decoder makes everything after it again, but not the model that is trained on labelled images alone.
    edit("benchmarks.coco.decoder.iterations", 5)
    found = plans()
    assert found["synthesize"].left == 3 and found["annotate"].left == 1
    assert not found["synthesize"].recorded


@pytest.mark.slow
def test_a_plan_of_a_project_that_has_nothing_yet(project, edit, capsys, monkeypatch) -> None:
    repeat = rate._repeat  # once is enough where nobody looks at the time
    monkeypatch.setattr(rate, "_repeat", lambda step, budget, most, device=None: repeat(step, budget, 1, device))
    folder = project(
        {**MINIWORLD, "format": "nyu", "root": "data/raw/nyu", "miniworld": {"num_train": 12, "num_val": 5}}
    )
    edit("benchmarks.coco.task", {"name": "depth", "min_depth": 0.1, "max_depth": 10.0})
    edit("benchmarks.coco.downstream.model", "upernet_r18")
    before = sorted(folder.rglob("*"))
    assert main(["plan", "coco", "--card", "a100-80gb", "--price", "2", "--json"]) == 0
    assert sorted(folder.rglob("*")) == before
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["complete"] and list(found["stages"]) == list(STAGES)
    assert found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"].values()), abs=0.5)
    assert found["start_seconds"] > 0
    assert found["parts"] == sum(max(1, stage["parts_to_make"]) for stage in found["stages"].values() if stage["work"])
    for name in ("train_decoder", "synthesize", "train_downstream"):
        stage = found["stages"][name]
        assert stage["seconds"] > 0 and stage["card_seconds"] > 0 and stage["gpu_memory"] > 1e6 and stage["disk"] > 0


def test_without_weights_the_work_is_said_and_what_is_missing(project, edit, capsys) -> None:
    folder = project(MINIWORLD)
    edit("backbone.path", "CompVis/stable-diffusion-v1-4")
    edit("benchmarks.coco.source", {"format": "coco", "root": "data/raw/coco"})
    assert main(["plan", "coco"]) == 0
    said = capsys.readouterr().out
    assert "| synthesize | 3 of 3 parts to make | 24 images drawn, 24 images annotated | ? |" in said
    assert re.search(r"One process starts within .*Dagster starts one for each of \d\d parts", said)
    assert "data/raw/coco is missing" in said
    assert not (folder / "data/.work").exists()


def test_a_price_and_a_card_have_to_be_real(project, capsys) -> None:
    project(MINIWORLD)
    assert main(["plan", "coco", "--card", "a1000"]) == 2
    assert "h100-sxm" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plan", "coco", "--price", "cheap"])
    assert Path("params.yaml").exists()
