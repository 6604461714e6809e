"""An IP-Adapter with random weights, in the published format: drawn and read with it on, attention read as before."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.diffusion.weights import model_fingerprint
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.registered_decoder import backbone_options
from datasetdm.prompts.mentions import Word
from tests.diffusion.families import tiny

WIDTH = 16  # of the image encoder
STYLES = ("sd15", "sdxl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, pipeline_folder: Path) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("ip")
    return {"sd15": pipeline_folder, "sdxl": tiny.save("sdxl", root / "sdxl"), "flux": tiny.save("flux", root / "flux")}


def save_adapter(network: torch.nn.Module, folder: Path) -> Path:
    """Weights in the format of h94/IP-Adapter, made by diffusers' own classes, with a CLIP image encoder."""
    torch.manual_seed(5)
    width, weights = network.config.cross_attention_dim, {}
    projection = ImageProjection(image_embed_dim=WIDTH, cross_attention_dim=width, num_image_text_embeds=4)
    for name, value in projection.state_dict().items():
        weights[f"image_proj.{name.replace('image_embeds', 'proj')}"] = value
    layers = [name for name in network.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        hidden = network.get_submodule(name.removesuffix(".processor")).to_q.in_features
        own = IPAdapterAttnProcessor2_0(hidden, width, num_tokens=(4,))
        weights[f"ip_adapter.{2 * number + 1}.to_k_ip.weight"] = own.to_k_ip[0].weight.detach()
        weights[f"ip_adapter.{2 * number + 1}.to_v_ip.weight"] = own.to_v_ip[0].weight.detach()
    (folder / "models").mkdir(parents=True)
    save_file(weights, folder / "models" / "ip-adapter.safetensors")
    shape = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(**shape, image_size=16, patch_size=8, projection_dim=WIDTH)
    )
    encoder.save_pretrained(folder / "models" / "image_encoder")
    return folder


def save_images(folder: Path, *colours: tuple[int, int, int], size: tuple[int, int] = (37, 53)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(colours):
        noise = np.random.default_rng(number).integers(0, 60, (*size, 3))
        Image.fromarray((np.array(colour) * 0.7 + noise).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def load(folder: Path, adapter: dict[str, object] | None = None) -> PipelineBackbone:
    return load_backbone(settings_of(folder, adapter), "cpu")  # type: ignore[return-value]


def settings_of(folder: Path, adapter: dict[str, object] | None) -> config.Backbone:
    return config.Backbone.model_validate({"path": str(folder), "image_size": tiny.SIDE, "ip_adapter": adapter})


def read(backbone: PipelineBackbone):
    latents = torch.ones(2, *backbone.latent_shape)
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    words = [Word("dog"), Word("car")]
    return backbone.extract(latents, ["a dog", "a red car"], timestep=0.05, words=words, generators=generators)


def drawn(backbone: PipelineBackbone, guidance_scale: float = 2.0, count: int = 2) -> torch.Tensor:
    return backbone.generate(
        ["a dog", "a car"][:count],
        generators=[torch.Generator().manual_seed(seed) for seed in range(count)],
        num_inference_steps=2,
        guidance_scale=guidance_scale,
        scheduler="ddim",
    ).latents


@pytest.mark.parametrize("style", STYLES)
def test_drawing_reading_and_fingerprint_follow_the_reference_images(
    style: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    plain = load(folders[style])
    path = save_adapter(plain.denoiser, tmp_path / "adapter")
    adapter = {
        "path": str(path),
        "file": "models/ip-adapter.safetensors",
        "image_encoder": "models/image_encoder",
        "images": str(save_images(tmp_path / "red", (255, 0, 0))),
    }
    red = load(folders[style], adapter)
    two = load(folders[style], adapter | {"images": str(save_images(tmp_path / "two", (255, 0, 0), (0, 0, 255)))})
    off = load(folders[style], adapter | {"scale": 0.0})
    assert len({one.fingerprint for one in (plain, red, two, off)}) == 4
    assert red.fingerprint == model_fingerprint(folders[style], settings_of(folders[style], adapter))
    finest = plain.feature_info[-1].stride
    maps = {name: read(one).maps[finest] for name, one in {"plain": plain, "red": red, "two": two, "off": off}.items()}
    assert (maps["red"] - maps["plain"]).abs().max() > 1e-3 < (maps["red"] - maps["two"]).abs().max()
    torch.testing.assert_close(maps["off"], maps["plain"], rtol=1e-4, atol=1e-4)
    for scale in (1.0, 2.0):  # without and with classifier-free guidance
        assert (drawn(red, scale) - drawn(plain, scale)).abs().max() > 1e-3
        torch.testing.assert_close(drawn(off, scale), drawn(plain, scale), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(drawn(red, 2.0, count=1), drawn(red, 2.0)[:1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("style", STYLES)
def test_attention_to_words_is_read_next_to_the_adapters_processors(
    style: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    plain = load(folders[style])
    adapter = {
        "path": str(save_adapter(plain.denoiser, tmp_path / "adapter")),
        "file": "models/ip-adapter.safetensors",
        "image_encoder": "models/image_encoder",
        "images": str(save_images(tmp_path / "images", (0, 255, 0))),
    }
    with_it, off = load(folders[style], adapter), load(folders[style], adapter | {"scale": 0.0})
    before = {name: id(one) for name, one in with_it.denoiser.attn_processors.items()}
    found, expected = read(with_it), read(plain)
    assert any(isinstance(one, IPAdapterAttnProcessor2_0) for one in with_it.denoiser.attn_processors.values())
    assert {name: id(one) for name, one in with_it.denoiser.attn_processors.items()} == before  # put back
    assert with_it.feature_info == plain.feature_info
    assert found.mentioned.tolist() == expected.mentioned.tolist() == [[True, False], [False, True]]
    for stride, maps in read(off).attention.items():
        torch.testing.assert_close(maps, expected.attention[stride], rtol=1e-4, atol=1e-4)
        assert (found.attention[stride] - maps).abs().max() > 0  # of the later layers, which see other states
    again = read(with_it)
    assert all(torch.equal(maps, again.maps[stride]) for stride, maps in found.maps.items())


def test_what_draws_is_recorded(folders: dict[str, Path], tmp_path: Path) -> None:
    plain = load(folders["sd15"])
    adapter = {
        "path": str(save_adapter(plain.denoiser, tmp_path / "adapter")),
        "file": "models/ip-adapter.safetensors",
        "image_encoder": "models/image_encoder",
        "images": str(save_images(tmp_path / "images", (0, 255, 0))),
    }
    origin = load(folders["sd15"], adapter).provenance("ddim")
    assert '"file": "models/ip-adapter.safetensors"' in origin["ip_adapter"]
    assert "ip_adapter" not in plain.provenance("ddim")
    settings = config.Backbone.model_validate({"path": "x", "image_size": 64, "ip_adapter": adapter})
    assert backbone_options(settings)["backbone_ip_adapter"]["images"] == adapter["images"]


def test_what_cannot_be_used_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    adapter = {
        "path": str(tmp_path / "adapter"),
        "file": "models/ip-adapter.safetensors",
        "images": str(tmp_path / "no"),
    }
    with pytest.raises(
        DatasetDMError, match=r"works with Stable Diffusion 1\.x.*is a FluxPipeline: remove backbone\.ip"
    ):
        load(folders["flux"], adapter)
    other = load(folders["sdxl"])
    save_adapter(other.denoiser, tmp_path / "adapter")
    with pytest.raises(DatasetDMError, match=r"lacks image_encoder\. Name the weights as `file`"):
        load(folders["sd15"], adapter)
    adapter |= {"image_encoder": "models/image_encoder"}
    with pytest.raises(DatasetDMError, match=r"no, where 1 to 16 images are expected .*found: 0"):
        load(folders["sd15"], adapter)
    adapter |= {"images": str(save_images(tmp_path / "images", (9, 9, 9)))}
    with pytest.raises(DatasetDMError, match=r"ip-adapter\.safetensors of backbone\.ip_adapter does not fit the model"):
        load(folders["sd15"], adapter)  # SDXL's
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    with pytest.raises(DatasetDMError, match=r"0\.png"):
        load(folders["sdxl"], adapter)
    shutil.rmtree(tmp_path / "adapter")
    with pytest.raises(DatasetDMError, match="is no local folder, and cannot be fetched"):
        load(folders["sdxl"], adapter)


def test_weights_that_may_hold_code_are_refused() -> None:
    with pytest.raises(ValueError, match="name a file of safetensors"):
        config.IPAdapter(path="x", file="ip-adapter.bin", images=Path("y"))
