"""Layers, LoRAs, offloading and what is said about models that cannot be used."""

import json
import shutil
from inspect import signature
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from pydantic import ValidationError

from datasetdm import config
from datasetdm.config.problems import described
from datasetdm.diffusion import load_backbone, matches_flow
from datasetdm.diffusion.memory import check_fits, count_parameters, explained
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import _what_models_refuse
from datasetdm.pipeline.registered_decoder import backbone_options, load_decoder_model
from datasetdm.prompts.mentions import Word
from datasetdm.utils import memory
from tests.diffusion.families import tiny


@pytest.fixture(scope="module")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("flux", tmp_path_factory.mktemp("flux"))


def load(folder: Path, **settings: object) -> PipelineBackbone:
    return load_backbone(config.Backbone(path=str(folder), image_size=tiny.SIDE, **settings), "cpu")  # type: ignore[return-value]


def read(backbone: PipelineBackbone):
    generators = [torch.Generator().manual_seed(0)]
    latents = torch.ones(1, *backbone.latent_shape)
    return backbone.extract(latents, ["a dog"], timestep=0.05, words=[Word("dog")], generators=generators)


def test_layers_are_chosen_by_name_and_brought_to_a_stride(flux_folder: Path) -> None:
    whole = load(flux_folder)
    chosen = load(flux_folder, layers={"transformer_blocks.0": 16, "single_transformer_blocks.3": None, "": 8})
    assert [(level.stride, level.channels) for level in chosen.feature_info] == [(16, 16), (8, 16 + 4)]
    assert chosen.fingerprint != whole.fingerprint
    named = load(flux_folder, layers=["transformer_blocks.0"], attention_layers=["transformer_blocks.0.attn"])
    (level,) = named.feature_info
    assert (level.stride, level.channels, level.attention_layers) == (8, 16, 1)
    block = read(named).maps[8]
    torch.testing.assert_close(read(chosen).maps[16], torch.nn.functional.avg_pool2d(block, 2))
    with pytest.raises(DatasetDMError, match=r"no modules blocks\.9, x\.attn; by default these are read: single_tr"):
        load(flux_folder, layers=["blocks.9"], attention_layers=["x.attn"])


def test_a_stride_that_the_image_size_does_not_allow_is_refused(flux_folder: Path) -> None:
    with pytest.raises(DatasetDMError, match="needs a multiple of 64"):
        load(flux_folder, layers={"transformer_blocks.0": 64})


def test_offloading_changes_nothing(flux_folder: Path) -> None:
    plain, offloaded = load(flux_folder), load(flux_folder, cpu_offload=True)
    assert plain.fingerprint == offloaded.fingerprint
    for stride, maps in read(plain).maps.items():
        torch.testing.assert_close(maps, read(offloaded).maps[stride])  # some processors round by where data lie
    images = torch.zeros(1, 3, tiny.SIDE, tiny.SIDE)
    torch.testing.assert_close(plain.encode(images), offloaded.encode(images))


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_a_lora_changes_drawing_reading_and_fingerprint(family: str, tmp_path: Path) -> None:
    folder = tiny.save(family, tmp_path / family)
    lora = save_lora(family, tmp_path / "lora")
    plain = load(folder)
    with_it = load(folder, loras=[{"path": str(lora)}])
    weaker = load(folder, loras=[{"path": str(lora / "mine.safetensors"), "scale": 0.5}])
    assert len({one.fingerprint for one in (plain, with_it, weaker)}) == 3
    stride = plain.feature_info[-1].stride
    base, full, half = (read(one).maps[stride] for one in (plain, with_it, weaker))
    assert (full - base).abs().max() > (half - base).abs().max() > 1e-4

    def drawn(backbone: PipelineBackbone) -> torch.Tensor:
        return backbone.generate(
            ["a dog"],
            generators=[torch.Generator().manual_seed(0)],
            num_inference_steps=1,
            guidance_scale=2.0,
            scheduler="model",
        ).latents

    assert (drawn(with_it) - drawn(plain)).abs().max() > 1e-4


def test_a_lora_of_another_model_or_none_is_refused(flux_folder: Path, tmp_path: Path) -> None:
    other = save_lora("sdxl", tmp_path / "lora")
    with pytest.raises(DatasetDMError, match=r"mine\.safetensors of backbone\.loras does not fit the model"):
        load(flux_folder, loras=[{"path": str(other)}])
    with pytest.raises(DatasetDMError, match="PixArtSigmaPipeline takes no LoRA"):
        load(tiny.save("pixart", tmp_path / "pixart"), loras=[{"path": str(other)}])
    shutil.copy(other / "mine.safetensors", other / "second.safetensors")
    with pytest.raises(DatasetDMError, match=r"found: mine\.safetensors, second\.safetensors. Name it as `file`"):
        load(flux_folder, loras=[{"path": str(other)}])


def test_a_missing_text_encoder_is_named(flux_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(flux_folder, copy)
    shutil.rmtree(copy / "text_encoder_2")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"tokenizer": [None, None]}))
    with pytest.raises(DatasetDMError, match="lacks text_encoder_2, tokenizer, without which a FluxPipeline cannot"):
        load(copy)


def test_the_third_text_encoder_of_stable_diffusion_3_may_be_absent(tmp_path: Path) -> None:
    backbone = load(tiny.save("sd3", tmp_path, with_t5=False))
    features = read(backbone)
    assert features.mentioned.all() and all(maps.sum() > 0 for maps in features.attention.values())
    assert backbone.embed_words(["dog", "car"]).isfinite().all()


def test_flux_without_distilled_guidance_works_too(tmp_path: Path) -> None:
    backbone = load(tiny.save("flux", tmp_path, guidance_embeds=False))
    assert backbone.condition(["a dog"], 3.0)["guidance"] is None
    assert read(backbone).mentioned.all()


def test_a_model_beyond_memory_is_refused_with_what_would_fit(
    flux_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parameters = count_parameters(flux_folder)
    pipeline = tiny.flux()
    assert parameters == {name: sum(one.numel() for one in getattr(pipeline, name).parameters()) for name in parameters}
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (tmp_path / "memory.max",))
    (tmp_path / "memory.max").write_text(str(3 * sum(parameters.values())))
    with pytest.raises(DatasetDMError, match=r"GiB in float32 \(text_encoder .*yaml: backbone\.dtype: b"):
        load(flux_folder)
    assert load(flux_folder, dtype="bfloat16").denoiser.dtype == torch.bfloat16


def test_what_would_fit_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasetdm.diffusion.memory.memory_of", lambda device: 24 * 2**30)
    flux = {"transformer": 11_900_000_000, "text_encoder_2": 4_760_000_000}
    settings = config.Backbone(path="flux", image_size=1024)
    with pytest.raises(DatasetDMError) as error:
        check_fits(flux, settings, torch.device("cuda"))
    assert str(error.value) == (
        "The weights of flux take 62.1 GiB in float32 (transformer 44.3, text_encoder_2 17.7), but cuda has 24.0 GiB. "
        "What would fit, in params.yaml: backbone.dtype: bfloat16 and backbone.cpu_offload: true (22.2 GiB)."
    )
    with pytest.raises(DatasetDMError, match="Choose a smaller model"):
        check_fits({"transformer": 10**12}, settings, torch.device("cuda"))
    check_fits(flux, settings.model_copy(update={"dtype": "bfloat16", "cpu_offload": True}), torch.device("cuda"))


@pytest.mark.parametrize(
    ("batch_size", "dtype", "cpu_offload", "says"),
    [
        (8, torch.float32, False, "lower synthesis.batch_size (this batch has 8 images; half of them take about half "
         "the room), set backbone.dtype to bfloat16, set backbone.cpu_offload to true, name fewer backbone.layers, "),
        (1, torch.bfloat16, True, "in this order: name fewer backbone.layers, lower backbone.image_size."),
    ],
)  # fmt: skip
def test_running_out_of_a_gpus_memory_says_what_is_left_to_try(
    batch_size: int, dtype: torch.dtype, cpu_offload: bool, says: str
) -> None:
    block = explained("synthesis.batch_size", batch_size=batch_size, dtype=dtype, cpu_offload=cpu_offload)
    with pytest.raises(DatasetDMError) as error, block:
        raise torch.OutOfMemoryError("no room\nmore")
    assert str(error.value).startswith("The GPU ran out of memory (no room). In params.yaml, ")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("kind", "says"),
    [(GatedRepoError, "is gated.*hf auth login"), (RepositoryNotFoundError, "has no model some/model")],
)
def test_models_that_the_hub_keeps_back_are_explained(monkeypatch: pytest.MonkeyPatch, kind: type, says: str) -> None:
    def download(*_: object, **__: object) -> None:
        raise OSError("not cached") from kind.__new__(kind)  # whose arguments are a server's answer

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    with pytest.raises(DatasetDMError, match=says):
        load(Path("some/model"))


def test_settings_are_hashable_and_checked() -> None:
    one = config.Backbone(path="x", image_size=64, layers={"a": 8, "b": None}, loras=[{"path": "y"}])
    assert hash(one) and one == config.Backbone.model_validate(one.model_dump(mode="json"))
    assert config.Backbone(path="x", image_size=64, layers=["a"]).layers == (("a", None),)
    with pytest.raises(ValidationError) as error:
        config.Backbone(path="x", image_size=64, layers={"a": 0}, loras=[{"scale": 1}])
    assert len(described(error.value)) == 2


def save_lora(family: str, folder: Path) -> Path:
    """A LoRA of rank 2 on the attention of the denoising network, written by diffusers itself."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = tiny.BUILDERS[family]()
    name = tiny.CLASSES[family].denoiser_name
    network = getattr(pipeline, name)
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    layers = {f"{name}_lora_layers": get_peft_model_state_dict(network)}
    pipeline.save_lora_weights(folder, weight_name="mine.safetensors", **layers)
    return folder


def test_a_sampler_that_flow_matching_cannot_use_is_refused_before_any_stage(flux_folder: Path) -> None:
    backbone = config.Backbone(path=str(flux_folder), image_size=tiny.SIDE)
    assert matches_flow(backbone)
    for scheduler, count in (("dpmsolver++", 1), ("model", 0)):
        synthesis = config.Synthesis.model_validate(
            {"num_images": 1, "sampler": {"scheduler": scheduler}, "filter": {"score_threshold": 0}}
        )
        problems = _what_models_refuse("coco", {"backbone": backbone, "synthesis": synthesis})
        assert len(problems) == count and all("choose model" in problem for problem in problems)


def test_the_registry_keeps_layers_and_loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").write_bytes(b"")
    plain = config.Backbone(path="some/model", image_size=64)
    chosen = plain.model_copy(
        update={"layers": (("a", 8),), "attention_layers": ("b",), "loras": (config.Lora(path="mine.safetensors"),)}
    )
    assert {*backbone_options(plain)} == {f"backbone_{name}" for name in ("path", "revision", "image_size", "dtype")}
    options = backbone_options(chosen)
    assert {*options} < {*signature(load_decoder_model).parameters}
    assert options["backbone_loras"][0]["path"] == str(tmp_path / "mine.safetensors")
    settings = {name.removeprefix("backbone_"): value for name, value in options.items()}
    again = config.Backbone.model_validate(json.loads(json.dumps(settings)))
    assert again.layers == chosen.layers and again.attention_layers == chosen.attention_layers
