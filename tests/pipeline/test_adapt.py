"""The stage `adapt`: nothing by default; where it is asked for, a LoRA that later stages use."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.cli import main
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context, release_backbone
from datasetdm.pipeline.preview import make_preview
from datasetdm.pipeline.reproduce import reproduce
from datasetdm.pipeline.rounds.shard import DRAWING
from datasetdm.pipeline.stages import adapt, synthesize, train_decoder
from datasetdm.pipeline.unlabelled_images import domain_images
from datasetdm.utils.files import read_json

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
ADAPT = {"steps": 2, "rank": 2, "batch_size": 2, "learning_rate": 0.01, "num_images": 3}


@pytest.fixture
def ingested(project) -> Path:
    folder = project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    return folder


def test_by_default_nothing_is_trained(ingested: Path) -> None:
    context = open_context("coco")
    assert list(adapt.STAGE.plan(context)) == []
    assert main(["adapt", "coco"]) == 0
    assert [file.name for file in context.paths.adapted.iterdir()] == ["record.json"]
    assert context.backbone_settings == context.params.backbone


def test_the_images_are_unlabelled_ones_of_training(ingested: Path, edit) -> None:
    edit("benchmarks.coco.adapt", ADAPT | {"num_images": None})
    context = open_context("coco")

    def names(subset: str) -> set[str]:
        content = read_json(context.paths.real / "annotations" / f"{subset}.json", remedy="")
        return {image["file_name"] for image in content["images"]}

    (unit,) = adapt.STAGE.plan(context)
    assert {image.name for image in unit.payload} == names("oracle")
    file = context.paths.real / "annotations" / "oracle.json"
    content = json.loads(file.read_text())
    content["annotations"] = []
    file.write_text(json.dumps(content))  # other labels are no other images
    assert adapt.STAGE.plan(open_context("coco"))["lora"].folder == unit.folder

    edit("benchmarks.coco.ingest.num_oracle", 0)
    edit("benchmarks.coco.experiment.arms", ["real"])
    assert {image.name for image in domain_images(open_context("coco"))} == names("few_shot_0")
    for subset in ("dev", "test"):
        assert not names(subset) & (names("oracle") | names("few_shot_0"))


def test_settings_that_change_what_is_learnt_make_another_unit(ingested: Path, edit) -> None:
    def unit() -> Path:
        return adapt.STAGE.plan(open_context("coco"))["lora"].folder

    edit("benchmarks.coco.adapt", ADAPT)
    first = unit()
    edit("benchmarks.coco.adapt.scale", 0.5)  # applied when it is loaded
    edit("benchmarks.coco.adapt.reading_scale", 0)
    edit("benchmarks.coco.synthesis.sampler.num_inference_steps", 3)  # draws no prior
    assert unit() == first
    edit("benchmarks.coco.adapt.prior_weight", 1.0)
    with_prior = unit()
    edit("benchmarks.coco.synthesis.sampler.num_inference_steps", 2)
    assert len({first, with_prior, unit()}) == 3


def test_later_stages_wait_for_the_lora_and_use_it(ingested: Path, edit) -> None:
    plain = open_context("coco").backbone().fingerprint
    edit("benchmarks.coco.adapt", ADAPT | {"prior_weight": 1.0, "num_prior_images": 2})
    with pytest.raises(DatasetDMError, match=r"lora\.safetensors is missing\. Make it with `datasetdm adapt"):
        train_decoder.STAGE.plan(open_context("coco"))
    assert main(["adapt", "coco"]) == 0
    context = open_context("coco")
    published = {file.name for file in context.paths.adapted.iterdir()}
    assert published == {"lora.safetensors", "curves.csv", "metrics.json", "record.json"}
    figures = read_json(context.paths.adapted / "metrics.json", remedy="")
    assert figures["images"] == 3 and figures["loss"] > 0
    adapted = context.backbone().fingerprint
    assert adapted != plain
    assert context.backbone().provenance("ddim")["loras"].count("lora.safetensors") == 1
    (unit,) = train_decoder.STAGE.plan(context)

    before = (context.paths.adapted / "lora.safetensors").read_bytes()
    edit("benchmarks.coco.adapt.learning_rate", 0.02)
    assert main(["adapt", "coco"]) == 0
    assert (context.paths.adapted / "lora.safetensors").read_bytes() != before
    assert open_context("coco").backbone().fingerprint not in (plain, adapted)  # in the same process, too
    edit("benchmarks.coco.adapt.learning_rate", 0.01)
    assert main(["adapt", "coco"]) == 0
    assert (context.paths.adapted / "lora.safetensors").read_bytes() == before
    assert train_decoder.STAGE.plan(open_context("coco"))["0"].folder == unit.folder

    edit("benchmarks.coco.adapt", None)
    assert main(["adapt", "coco"]) == 0
    assert [file.name for file in context.paths.adapted.iterdir()] == ["record.json"]
    assert open_context("coco").backbone().fingerprint == plain
    release_backbone()


@pytest.mark.slow
def test_a_decoder_on_the_adapted_model_is_trained_and_registered(ingested: Path, edit) -> None:
    edit("benchmarks.coco.adapt", ADAPT)
    for stage in ("adapt", "train_decoder", "write_prompts", "synthesize"):
        assert main([stage, "coco"]) == 0
    context = open_context("coco")
    decoder = read_json(context.paths.decoders / "0" / "config.json", remedy="")
    assert context.backbone().fingerprint in json.dumps(decoder)
    from datasetdm.pipeline.registered_decoder import backbone_options, load_decoder_model

    release_backbone()
    model = load_decoder_model(context.paths.decoders / "0", "cpu", **backbone_options(context.backbone_settings))
    assert model.predict([domain_images(context)[0].read()])


@pytest.mark.slow
def test_images_are_drawn_with_the_lora_and_read_without_it(ingested: Path, edit) -> None:
    plain = open_context("coco")
    edit("benchmarks.coco.adapt", ADAPT | {"scale": 0.5, "reading_scale": 0})
    assert main(["train_decoder", "coco"]) == 0  # reads the model as it is, so it does not wait for the LoRA
    assert main(["write_prompts", "coco"]) == 0
    assert main(["synthesize", "coco"]) == 2
    assert main(["adapt", "coco"]) == 0
    context = open_context("coco")
    drawer = context.drawing_backbone().fingerprint
    assert context.backbone().fingerprint == plain.backbone().fingerprint != drawer
    assert main(["synthesize", "coco"]) == 0
    rows = synthesize.read_manifest(context, context.paths.synthetic)
    assert set(rows["backbone_fingerprint"]) == {drawer}
    assert '"scale": 0.5' in rows["loras"][0]
    assert reproduce(context, rows["image"][0]).equal
    make_preview(context, 1)
    first = Image.open(context.paths.preview / "images" / rows["image"][0])
    stored = Image.open(context.paths.synthetic / rows["folder"][0] / rows["image"][0])
    assert np.array_equal(first, stored)

    drawings = set(context.paths.work(DRAWING).iterdir())
    (decoder,) = train_decoder.STAGE.plan(context)
    edit("benchmarks.coco.adapt.reading_scale", 0.5)  # another reading of the same drawings
    assert main(["run", "coco", "--until", "synthesize"]) == 0
    context = open_context("coco")
    assert context.backbone() is context.drawing_backbone()
    assert train_decoder.STAGE.plan(context)["0"].folder != decoder.folder
    assert set(context.paths.work(DRAWING).iterdir()) == drawings
    release_backbone()


def test_reading_at_another_scale_takes_another_pass(ingested: Path, edit) -> None:
    edit("benchmarks.coco.adapt", ADAPT | {"reading_scale": 0})
    edit("benchmarks.coco.synthesis.extraction", "last_step")
    with pytest.raises(DatasetDMError, match=r"coco\.adapt\.reading_scale is 0, but synthesis\.extraction"):
        open_context("coco")
    edit("benchmarks.coco.adapt.reading_scale", 1.0)  # that at which images are drawn
    open_context("coco")
