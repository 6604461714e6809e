"""The whole chain through the command line, on the embedded world and on real COCO images, in small."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from pycocotools.coco import COCO

from datasetdm.cli import main
from datasetdm.pipeline.engine.units import unit_seconds
from datasetdm.pipeline.stages import synthesize
from datasetdm.tracking import load_model

ROOT = Path(__file__).parents[2]
REALDATA = Path(__file__).parents[3] / "shared/realdata/COCO2017"
MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


def check_outputs(folder: Path) -> None:
    manifest = pd.read_parquet(folder / "data/synthetic/coco/manifest.parquet")
    assert len(manifest) == 5 and set(manifest["decoder"]) == {"seed_0"}
    assert manifest["rejected"].notna().tolist() == (~manifest["accepted"]).tolist()
    annotations = COCO(str(folder / "data/synthetic/coco/annotations/seed_0.json"))
    assert len(annotations.imgs) == manifest["accepted"].sum() > 0
    spliced = COCO(str(folder / "data/augmented/coco/annotations/seed_0.json"))
    assert len(spliced.imgs) == 2
    metrics = json.loads((folder / "data/reports/coco/metrics.json").read_text())
    assert list(metrics["arms"]) == list(metrics["iid"]["arms"]) == ["real", "synthetic", "both", "oracle"]
    assert "of the kind that was trained on" in (folder / "data/reports/coco/index.html").read_text()
    for arm in (*metrics["arms"].values(), *metrics["iid"]["arms"].values()):
        assert set(arm["mask_ap"]) == {"mean", "std", "seeds"} and arm["mask_ap"]["std"] is None
        assert 0.0 <= arm["mask_ap"]["mean"] <= 1.0
    headline = json.loads((folder / "data/reports/coco/headline.json").read_text())
    assert headline == {arm: {"mask_ap": figures["mask_ap"]["mean"]} for arm, figures in metrics["arms"].items()}


def check_runs(folder: Path) -> None:
    """The trainings are children of the comparison, and can be plotted: arm, seed and size over one figure."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("coco")
    runs = client.search_runs([experiment.experiment_id])
    (comparison,) = (run for run in runs if run.info.run_name == "comparison")
    children = {
        run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == comparison.info.run_id
    }
    assert set(children) == {f"{arm}/0" for arm in ("real", "synthetic", "both", "oracle")}
    metrics = json.loads((folder / "data/reports/coco/metrics.json").read_text())
    for name, run in children.items():
        arm = name.split("/")[0]
        assert (run.data.params["arm"], run.data.params["seed"]) == (arm, "0") and int(run.data.params["images"]) > 0
        assert run.data.metrics["test/mask_ap"] == metrics["arms"][arm]["mask_ap"]["mean"]
        assert not [metric for metric in run.data.metrics if metric.count("/") > 1], "figures of single categories"
        assert [file.path for file in client.list_artifacts(run.info.run_id, "pictures")] == [
            f"pictures/dev_{arm}_0.png"
        ]
        durations = [1000 * unit_seconds(unit) for unit in unit_folders(folder, "train_downstream")]
        assert min(abs(run.info.end_time - run.info.start_time - duration) for duration in durations) < 3


def check_registry() -> None:
    images = np.zeros((2, 128, 128, 3), np.uint8)
    for name in ("coco_decoder", "coco_downstream"):
        found = load_model(name).predict(images)
        assert [instances.masks.shape[1:] for instances in found] == [(128, 128)] * 2


def unit_folders(folder: Path, stage: str) -> list[Path]:
    return [path for path in (folder / "data/.work" / stage).iterdir() if path.is_dir()]


def snapshot(folder: Path) -> dict[str, int]:
    files = [file for file in (folder / "data/.work").glob("*/**/*") if file.is_file()]
    return {str(file): file.stat().st_mtime_ns for file in files}


def count_runs(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "mlflow/mlflow.db")) as store:
        return int(store.execute("SELECT COUNT(*) FROM runs").fetchone()[0])


@pytest.mark.slow
def test_chain_on_the_embedded_world(project, edit, capsys) -> None:
    folder = project(MINIWORLD)
    edit("benchmarks.coco.ingest.num_iid", 2)
    assert main(["run", "coco"]) == 0
    check_outputs(folder)
    check_registry()
    check_runs(folder)
    assert main(["show", "coco"]) == 0
    assert "| oracle |" in capsys.readouterr().out

    assert main(["diagnose", "coco", "--minutes-per-label", "6"]) == 0
    verdict = json.loads((folder / "data/diagnosis/coco.json").read_text())
    assert verdict["weak_link"] in verdict["links"] and len(verdict["figures"]) == 7
    assert "assumes 6 minutes per image" in (folder / "data/diagnosis/coco.md").read_text()

    before, logged = snapshot(folder), count_runs(folder)
    assert main(["run", "coco"]) == 0
    assert main(["diagnose", "coco"]) == 0
    assert snapshot(folder) == before  # nothing is made twice
    assert count_runs(folder) == logged > 0  # nor logged

    (folder / "data/real/coco/annotations/iid.json").rename(folder / "iid.json")  # as if asked for after `ingest`
    capsys.readouterr()
    assert main(["compare", "coco"]) != 0
    assert "datasetdm ingest coco" in capsys.readouterr().err
    (folder / "iid.json").rename(folder / "data/real/coco/annotations/iid.json")

    # More images: the finished shards stay, and `real` is not trained again.
    edit("benchmarks.coco.synthesis.num_images", 7)
    assert main(["synthesize", "coco"]) == 0
    after = snapshot(folder)
    assert {name: after[name] for name in before} == before
    manifest = pd.read_parquet(folder / "data/synthetic/coco/manifest.parquet")
    assert manifest["image"].tolist() == [f"{index:06d}.png" for index in range(7)]
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.stages import STAGES

    missing = STAGES["train_downstream"].plan(open_context("coco")).missing()
    assert "real/0" not in missing and "both/0" in missing


@pytest.mark.slow
@pytest.mark.skipif(not REALDATA.exists(), reason=f"the real COCO samples are not at {REALDATA}")
def test_chain_on_real_coco(project, edit) -> None:
    folder = project({"format": "coco", "root": str(REALDATA)})
    edit("benchmarks.coco.ingest.num_iid", 2)
    edit("backbone.allow_mismatch", True)
    # With 80 categories and cluttered photographs it takes a while before any mask is drawn at all.
    for name, value in {"num_queries": 20, "iterations": 300, "evaluate_every": 300, "learning_rate": 0.001}.items():
        edit(f"benchmarks.coco.decoder.{name}", value)
    assert main(["run", "coco"]) == 0
    check_outputs(folder)
    metrics = json.loads((folder / "data/reports/coco/metrics.json").read_text())
    assert metrics["world"] == "real"
    assert "The drawn images are of another kind" in (folder / "data/reports/coco/index.html").read_text()
    assert len(json.loads((folder / "data/real/coco/categories.json").read_text())) == 80


def test_a_cut_off_synthesis_resumes(project, monkeypatch, capsys) -> None:
    folder = project(MINIWORLD)
    assert main(["run", "coco", "--until", "write_prompts"]) == 0
    from datasetdm.pipeline.context import open_context
    from datasetdm.pipeline.stages import STAGES

    context = open_context("coco")
    stage = STAGES["synthesize"]
    plan = stage.plan(context)
    assert plan.missing() == ["shard_00000", "shard_00001", "shard_00002"]
    stage.make(context, plan["shard_00001"])
    assert plan.missing() == ["shard_00000", "shard_00002"]
    capsys.readouterr()
    assert main(["synthesize", "coco"]) == 0
    assert "shard_00001" not in capsys.readouterr().out
    drawn = [*folder.glob("data/synthetic/coco/images/*"), *folder.glob("data/synthetic/coco/rejected/images/*")]
    assert len({path.name for path in drawn}) == len(drawn) == 5
    drawing, labelling = (sum(map(unit_seconds, unit_folders(folder, stage))) for stage in ("draw", "synthesize"))
    assert drawing > 0 and synthesize.seconds_spent(context) == pytest.approx(drawing + labelling)


@pytest.mark.parametrize(
    "stage", ["train_decoder", "write_prompts", "synthesize", "augment", "train_downstream", "compare"]
)
def test_missing_input_names_the_command(project, capsys, stage: str) -> None:
    project(MINIWORLD)
    assert main([stage, "coco"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    made_by = {"synthesize": "write_prompts", "compare": "train_downstream"}.get(stage, "ingest")
    assert f"datasetdm {made_by} coco" in error


def test_bad_input_is_explained_in_a_paragraph(project, edit, capsys) -> None:
    folder = project({"format": "coco", "root": "data/raw/nowhere"})
    assert main(["ingest", "coco"]) == 2
    assert "data/raw/nowhere" in capsys.readouterr().err
    assert not (folder / "data/real/coco").exists()
    assert main(["ingest", "cocoa"]) == 2
    assert "no benchmark 'cocoa'" in capsys.readouterr().err
    edit("benchmarks.coco.prompts", {"num_promts": 4})
    assert main(["ingest", "coco"]) == 2
    assert "num_promts" in capsys.readouterr().err


def test_ingest_says_what_it_found(project, capsys) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    out = capsys.readouterr().out
    assert "ingest coco: few_shot_0: 4 images, " in out and "ingest coco: test: 4 images, " in out
    assert "ingest coco: categories without a labelled example in some few-shot set: " in out


def test_missing_weights_of_the_downstream_model_are_an_error_at_the_start(project, edit, capsys) -> None:
    project(MINIWORLD)
    edit("benchmarks.coco.downstream.pretrained", "data/backbones/nowhere")
    assert main(["ingest", "coco"]) == 2
    assert "downstream.pretrained in params.yaml is data/backbones/nowhere" in capsys.readouterr().err


def test_missing_weights_say_what_to_get(project, edit, capsys) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    edit("backbone.path", "data/backbones/elsewhere")
    assert main(["train_decoder", "coco"]) == 2
    assert "data/backbones/elsewhere" in capsys.readouterr().err


def test_an_unknown_category_in_the_prompts_is_named(project, capsys) -> None:
    folder = project(MINIWORLD)
    assert main(["run", "coco", "--until", "write_prompts"]) == 0
    file = folder / "data/prompts/coco.csv"
    frame = pd.read_csv(file)
    frame.loc[0, "categories"] = "unicorn"
    frame.to_csv(file, index=False)
    assert main(["synthesize", "coco"]) == 2
    error = capsys.readouterr().err
    assert "unicorn" in error and "coco.csv" in error
    assert not (folder / "data/synthetic/coco").exists()


def test_benchmarks_with_the_same_prompts_share_the_drawn_images(project, edit):
    folder = project(MINIWORLD)
    block = yaml.safe_load((folder / "params.yaml").read_text())["benchmarks"]["coco"]
    edit("benchmarks.again", {**block, "decoder": {**block["decoder"], "learning_rate": 0.001}})
    drawn = []
    for benchmark in ("coco", "again"):
        assert main(["run", benchmark, "--until", "synthesize"]) == 0
        files = (folder / "data/.work/draw").glob("*/latents.safetensors")
        drawn.append({path: path.stat().st_mtime_ns for path in files})
    assert len(drawn[0]) == 3 and drawn[0] == drawn[1]
    assert len(list((folder / "data/.work/synthesize").glob("*/manifest.parquet"))) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "arms", [("real", "both", "pseudo"), pytest.param(None, marks=pytest.mark.extended, id="study")]
)
@pytest.mark.parametrize(
    "benchmark",
    ["nyu", *(pytest.param(name, marks=pytest.mark.extended) for name in ("coco_pose", "voc_long_tail", "lvis"))],
)
def test_chain_of_every_task(project, edit, tiny, benchmark, arms, capsys):
    """The shipped benchmark with tiny numbers and some or all arms of the study, down to the leaderboard."""
    project(MINIWORLD)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    shipped, study = content["benchmarks"][benchmark], content["study"]["experiment"]
    study = study | ({"arms": list(arms)} if arms else {})
    ingest = {**shipped["ingest"], "num_real": 12, "num_dev": 4, "num_oracle": 4}
    if "tail_images" in ingest:
        ingest["tail_images"] = 1
    source = {**shipped["source"], "miniworld": {**shipped["source"]["miniworld"], "num_train": 80, "num_val": 6}}
    model = {key: shipped["downstream"][key] for key in ("model", "learning_rate")}
    downstream = {**tiny["downstream"], **model}
    experiment = {**study, "self_training_threshold": 0.0}  # after two iterations the teacher is certain of nothing
    block = {**shipped, **tiny, "source": source, "ingest": ingest, "downstream": downstream, "experiment": experiment}
    edit("benchmarks", {benchmark: {**block, "prompts": {**shipped["prompts"], "num_prompts": 4}}})
    assert main(["run", benchmark]) == 0
    metrics = json.loads(Path(f"data/reports/{benchmark}/metrics.json").read_text())
    assert list(metrics["arms"]) == [*study["arms"], "p_decoder"]
    assert set(metrics["contrasts"]) == set(metrics["headline"]) and metrics["num_pseudo"] > 0
    assert all(metrics["headline"][0] in arm for arm in metrics["arms"].values())
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    assert f"| {benchmark} |" in capsys.readouterr().out
