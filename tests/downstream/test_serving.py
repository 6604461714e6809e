"""Registered models of every kind behind MLflow's scoring server, loaded from a folder that is not the project."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server
from PIL import Image
from pycocotools import mask as mask_utils

from datasetdm import config, load_model, tracking
from datasetdm.annotations.sample import Category
from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import build_decoder, save_decoder
from datasetdm.diffusion import load_backbone
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.registered_decoder import backbone_options
from datasetdm.tasks.instance import InstanceTask
from tests.downstream.dense.test_dense_model import CATEGORIES as THINGS
from tests.downstream.dense.test_dense_model import TASKS, draw_scene
from tests.downstream.pose.test_pose_model import TASK as POSE
from tests.downstream.pose.test_pose_model import draw_person

ROOT = Path(__file__).parents[2]
MINIWORLD = ROOT / "data" / "backbones" / "miniworld"
BACKBONE = config.Backbone(path=str(MINIWORLD), image_size=128)
TINY = config.Decoder(hidden_dim=32, num_heads=4, num_queries=6, num_layers=1, feedforward_dim=32, iterations=1)
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 70, 3), dtype=np.uint8)

Data = dict[str, tuple[Any, Labelled]]


@pytest.fixture(scope="module")
def data(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path_factory: pytest.TempPathFactory
) -> Data:
    """Each task with a set to train on."""
    found: Data = {"instance": (InstanceTask(categories), shapes["train"])}
    rng = np.random.default_rng(0)
    for name, task in TASKS.items():
        folder = tmp_path_factory.mktemp(name)
        standard_format(*task.kind).save(folder, "train", [draw_scene(rng, name, number) for number in range(4)])
        found[name] = (task, Labelled(folder=folder, subset="train"))
    folder = tmp_path_factory.mktemp("pose")
    standard_format(*POSE.kind).save(folder, "train", [draw_person(rng, number) for number in range(4)])
    return {**found, "pose": (POSE, Labelled(folder=folder, subset="train"))}


MODELS = {"instance": "mask-rcnn_r18", "semantic": "upernet_r18", "depth": "upernet_r18", "pose": "vitpose_tiny"}


@pytest.fixture(scope="module")
def registry(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project in whose registry is a model of every kind, registered as the stages do it."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "mlflow").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, (task, labelled) in data.items():
            settings = config.Downstream(
                model=MODELS[name], image_size=64, iterations=1, batch_size=2, learning_rate=1e-4, score_threshold=0.0
            )
            sets: dict[str, Any] = {"task": task, "datasets": [labelled], "dev": labelled}
            DOWNSTREAM[name].train(settings, seed=0, out=folder / name, device="cpu", **sets)
            register(folder / name, DOWNSTREAM[name].loader, takes_boxes=task.uses_prompt_boxes)
        backbone, task = load_backbone(BACKBONE, "cpu"), data["instance"][0]
        decoder = build_decoder(task, backbone.feature_info, TINY, None)
        save_decoder(folder / "decoder", decoder, task, TINY, backbone, seed=0)
        loader = "datasetdm.pipeline.registered_decoder:load_decoder_model"
        register(folder / "decoder", loader, options=backbone_options(BACKBONE))
        yield folder


def register(folder: Path, loader: str, **options: Any) -> None:
    with tracking.track_run(benchmark="served", stage="train", params={}) as run:
        run.log_metrics({"dev/figure": 1.0})
        run.register_model(folder.name, folder, loader, **options)
    tracking.promote(folder.name, "dev/figure")


@pytest.fixture
def served(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TestClient]:
    """The scoring server of a model, started elsewhere than in the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mlflow, "get_tracking_uri", mlflow.get_tracking_uri)
    mlflow.set_tracking_uri(f"sqlite:///{registry / 'mlflow' / 'mlflow.db'}")

    def start(name: str) -> TestClient:
        return TestClient(scoring_server.init(mlflow.pyfunc.load_model(f"models:/{name}@champion")))

    return start


def encoded(image: np.ndarray, kind: str = "png") -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind)
    return base64.b64encode(buffer.getvalue()).decode()


def ask(client: TestClient, *records: dict[str, Any]) -> list[dict[str, Any]]:
    response = client.post("/invocations", json={"dataframe_records": list(records)})
    assert response.status_code == 200, response.text
    answers = response.json()["predictions"]
    for found in answers:
        assert (found["height"], found["width"]) == PICTURE.shape[:2]
    return answers


def decoded(text: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("name", ["instance", "decoder"])
def test_objects_are_cocos_results_with_names(
    name: str, served: Callable[[str], TestClient], categories: tuple[Category, ...], registry: Path
) -> None:
    (found,) = ask(served(name), {"image": encoded(PICTURE)})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(registry)
        model = tracking.load_model(name, device="cpu")
    assert tuple((category.id, category.name) for category in model.categories) == ((3, "disc"), (17, "bar"))
    (expected,) = model.predict([PICTURE])
    assert len(found["objects"]) == len(expected) > 0
    for record, mask, label, score in zip(
        found["objects"], expected.masks, expected.labels, expected.scores, strict=True
    ):
        np.testing.assert_array_equal(mask_utils.decode(record["segmentation"]), mask)
        assert record["bbox"] == mask_utils.toBbox(record["segmentation"]).tolist()
        assert record["category_id"] == categories[label].id
        assert record["category_name"] == categories[label].name
        assert record["score"] == pytest.approx(score)


def test_a_semantic_map_is_a_png_of_positions(served: Callable[[str], TestClient], registry: Path) -> None:
    (found,) = ask(served("semantic"), {"image": encoded(PICTURE)})
    (expected,) = DOWNSTREAM["semantic"].load(registry / "semantic", "cpu").predict([PICTURE])
    np.testing.assert_array_equal(decoded(found["semantic_map"]), expected.labels)
    names = [category["category_name"] for category in found["categories"]]
    assert names == [category.name for category in THINGS]


def test_depth_is_a_png_of_256ths_of_a_metre(served: Callable[[str], TestClient], registry: Path) -> None:
    (found,) = ask(served("depth"), {"image": encoded(PICTURE)})
    (expected,) = DOWNSTREAM["depth"].load(registry / "depth", "cpu").predict([PICTURE])
    metres = decoded(found["depth"]) / found["units_per_metre"]
    np.testing.assert_allclose(metres, expected.depth, atol=0.5 / 256)
    assert 0.1 < metres.mean() < 8


def test_poses_come_in_the_given_boxes(served: Callable[[str], TestClient], registry: Path) -> None:
    client, boxes = served("pose"), [[10, 5, 20, 40], [30, 5, 20, 40]]
    first, second = ask(client, {"image": encoded(PICTURE), "boxes": boxes}, {"image": encoded(PICTURE)})
    assert [person["bbox"] for person in first["persons"]] == boxes
    (expected,) = DOWNSTREAM["pose"].load(registry / "pose", "cpu").predict([PICTURE], [np.array(boxes)])
    found = np.array([person["keypoints"] for person in first["persons"]]).reshape(2, 17, 3)
    np.testing.assert_allclose(found, expected.keypoints, rtol=1e-6)
    assert first["keypoint_names"][0] == "nose" and first["persons"][0]["category_name"] == "person"
    assert [person["bbox"] for person in second["persons"]] == [[0, 0, 70, 48]]
    response = client.post("/invocations", json={"dataframe_records": [{"image": encoded(PICTURE), "boxes": [[1, 2]]}]})
    assert response.status_code == 400 and "boxes of picture 1" in response.json()["message"]


def test_what_is_no_picture_is_named_and_not_repeated(served: Callable[[str], TestClient]) -> None:
    client = served("semantic")
    for wrong in ("photo.jpg", base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0" * 1000).decode(), encoded(PICTURE)[:200]):
        records = [{"image": encoded(PICTURE)}, {"image": wrong}]
        response = client.post("/invocations", json={"dataframe_records": records})
        assert response.status_code == 400
        assert "Picture 2 of the request cannot be read" in response.json()["message"]
        assert len(response.text) < 2000
    photo = ask(client, {"image": encoded(PICTURE, "jpeg")})
    assert decoded(photo[0]["semantic_map"]).shape == (48, 70)


def test_mlflow_models_predict_answers_in_json(
    served: Callable[[str], TestClient], registry: Path, tmp_path: Path
) -> None:
    served("depth")
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_text(json.dumps({"dataframe_records": [{"image": encoded(PICTURE)}]}))
    mlflow.models.predict(
        "models:/depth@champion", input_path=str(request), output_path=str(answer), env_manager="local"
    )
    (found,) = json.loads(answer.read_text())["predictions"]
    assert decoded(found["depth"]).shape == (48, 70)


def test_a_decoder_whose_diffusion_model_is_gone_says_so_and_takes_another_place(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(registry)
    options = {**backbone_options(BACKBONE), "backbone_path": str(tmp_path / "gone")}
    folder = tmp_path / "moved"
    (registry / "decoder").rename(folder)
    try:
        register(folder, "datasetdm.pipeline.registered_decoder:load_decoder_model", options=options)
    finally:
        folder.rename(registry / "decoder")
    with pytest.raises(DatasetDMError, match=r"gone, which cannot be loaded.*MLFLOW_PYFUNC_INFERENCE_CONFIG"):
        tracking.load_model("moved")
    monkeypatch.setenv("MLFLOW_PYFUNC_INFERENCE_CONFIG", json.dumps({"backbone_path": str(MINIWORLD)}))
    assert len(tracking.load_model("moved", device="cpu").predict([PICTURE])) == 1


def test_places_are_kept_absolute_and_hub_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MINIWORLD.parent)
    relative = config.Backbone(path="miniworld", image_size=128)
    assert backbone_options(relative)["backbone_path"] == str(MINIWORLD.resolve())
    hub = config.Backbone(path="CompVis/stable-diffusion-v1-4", revision="abc", image_size=512)
    assert backbone_options(hub)["backbone_path"] == hub.path


@pytest.mark.parametrize("name", ["instance", "semantic", "depth", "pose", "decoder"])
def test_a_model_is_loaded_from_its_folder(name: str, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry)
    shutil.copy(ROOT / "params.yaml", registry)  # says which diffusion model the decoder has
    (registry / "data").mkdir(exist_ok=True)
    if not (registry / "data" / "backbones").exists():
        (registry / "data" / "backbones").symlink_to(ROOT / "data" / "backbones")
    (found,) = load_model(registry / name, device="cpu").predict([PICTURE])
    (expected,) = tracking.load_model(name, device="cpu").predict([PICTURE])
    assert type(found) is type(expected)
    for own, other in zip(vars(found).values(), vars(expected).values(), strict=True):
        np.testing.assert_array_equal(np.asarray(own), np.asarray(other))


def test_the_documented_lines_run(
    registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(registry)
    shutil.copy(ROOT / "params.yaml", registry)
    with tracking.track_run(benchmark="served", stage="train", params={}) as run:
        run.log_metrics({"dev/figure": 1.0})
        run.register_model("coco_downstream", registry / "instance", DOWNSTREAM["instance"].loader)
    tracking.promote("coco_downstream", "dev/figure")
    Image.fromarray(PICTURE).save("photo.jpg")
    text = (ROOT / "docs" / "serving.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(lines, "docs/serving.md", "exec"), {})
    assert re.match(r"(disc|bar) 0\.\d\d \d+ pixels", capsys.readouterr().out)
    with pytest.raises(DatasetDMError, match="There is no model coco_downstream@challenger"):
        load_model("challenger", benchmark="coco")
    with pytest.raises(DatasetDMError, match="no benchmark 'mine'"):
        load_model("champion", benchmark="mine")
    with pytest.raises(DatasetDMError, match="say of which one"):
        load_model()
    with pytest.raises(DatasetDMError, match="It holds the models"):
        load_model(registry)


def test_champion_challenger_and_decoder_are_those_of_the_registry(
    registry: Path,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(registry)
    shutil.copy(ROOT / "params.yaml", registry)
    task, labelled = data["semantic"]
    settings = config.Downstream(model="upernet_r18", image_size=64, iterations=1, batch_size=2, learning_rate=0.1)
    sets: dict[str, Any] = {"task": task, "datasets": [labelled], "dev": labelled}
    DOWNSTREAM["semantic"].train(settings, seed=1, out=registry / "other", device="cpu", **sets)
    loader = DOWNSTREAM["semantic"].loader
    for folder, figure in (("other", 0.25), ("semantic", 0.5)):
        with tracking.track_run(benchmark="voc", stage="train", params={}) as run:
            run.log_metrics({"dev/figure": figure})
            run.register_model("voc_downstream", registry / folder, loader)
    tracking.promote("voc_downstream", "dev/figure")
    with tracking.track_run(benchmark="voc", stage="train", params={}) as run:
        run.log_metrics({"dev/figure": 1.0})
        loader = "datasetdm.pipeline.registered_decoder:load_decoder_model"
        run.register_model("voc_decoder", registry / "decoder", loader, options=backbone_options(BACKBONE))
    tracking.promote("voc_decoder", "dev/figure")

    for name, folder in (("champion", "semantic"), ("challenger", "other")):
        (found,) = load_model(name, benchmark="voc", device="cpu").predict([PICTURE])
        (expected,) = load_model(registry / folder, device="cpu").predict([PICTURE])
        np.testing.assert_array_equal(found.labels, expected.labels)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    written = {}
    for name in ("champion", "challenger", "decoder"):
        out = tmp_path / name
        options = ["--benchmark", "voc", "--model", name, "--device", "cpu", "--threshold", "0", "--no-overlays"]
        assert main(["predict", str(tmp_path / "a.png"), "--out", str(out), *options]) == 0
        assert "has only seen the embedded world" in capsys.readouterr().out
        written[name] = sorted(file.name for file in out.iterdir())
    assert "masks" in written["champion"] and "masks" in written["challenger"]
    first, second = ((tmp_path / name / "masks/a.png.png").read_bytes() for name in ("champion", "challenger"))
    assert first != second
    assert "annotations.json" in written["decoder"]  # it finds objects, as that decoder was made for


def test_the_command_annotates_a_folder(registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "b.jpg").write_bytes(b"no image")
    places = [str(tmp_path / "photos"), "--out", str(tmp_path / "found")]
    assert main(["predict", *places, "--model", str(registry / "semantic"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "images annotated: 1" in said and "b.jpg" in said
    assert np.array(Image.open(tmp_path / "found" / "masks" / "a.jpg.png")).shape == PICTURE.shape[:2]
    assert main(["predict", *places]) == 2
    assert "--benchmark coco" in capsys.readouterr().err


@pytest.mark.extended
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_mlflow_models_serve_answers_curl(registry: Path, tmp_path: Path) -> None:
    """The commands of docs/serving.md, in a folder that is not the project."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{registry / 'mlflow' / 'mlflow.db'}",
    }
    command = ["mlflow", "models", "serve", "-m", "models:/semantic@champion", "--env-manager", "local"]
    address = ["--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen([*command, *address], cwd=tmp_path, env=environment, start_new_session=True)
    try:
        curl = ["curl", "--silent", "--fail", "--retry", "600", "--retry-connrefused", "--retry-delay", "1"]
        subprocess.run([*curl, f"http://127.0.0.1:{port}/ping"], check=True)
        (tmp_path / "request.json").write_text(json.dumps({"dataframe_records": [{"image": encoded(PICTURE)}]}))
        content = ["-H", "Content-Type: application/json", "-d", "@request.json"]
        invocations = f"http://127.0.0.1:{port}/invocations"
        answer = subprocess.run([*curl, *content, invocations], cwd=tmp_path, check=True, capture_output=True)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    (found,) = json.loads(answer.stdout)["predictions"]
    assert decoded(found["semantic_map"]).shape == PICTURE.shape[:2]
