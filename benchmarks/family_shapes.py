"""The families in the true shape of their published models, on the meta device: no weights, no memory, no GPU.

python -m benchmarks.family_shapes
python -m benchmarks.family_shapes "SDXL base" "FLUX.1 dev"

Prints, for each, the number of parameters, the features of one image, and how much memory it takes to have the weights
on a GPU and to read one image. These figures are computed from shapes, not measured: drawing and reading take room for
intermediate results besides.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from datasetdm.diffusion.families.flux import FluxBackbone
from datasetdm.diffusion.families.pixart_sigma import PixArtSigmaBackbone
from datasetdm.diffusion.families.stable_diffusion import StableDiffusionBackbone
from datasetdm.diffusion.families.stable_diffusion_3 import StableDiffusion3Backbone
from datasetdm.diffusion.families.stable_diffusion_xl import StableDiffusionXLBackbone
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.miniworld.pretraining.tokenizer import build_tokenizer
from datasetdm.prompts.mentions import Word

GIB = 2**30
META = torch.device("meta")


class MaskedPixArtSigma(PixArtSigmaBackbone):
    """T5 looks at the values of its mask, which have no values on the meta device; this leaves it out."""

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """States and mask in the shape of T5's."""
        (tokens,) = self.prompt_tokens()
        return {
            "encoder_hidden_states": torch.empty(len(prompts), tokens.length, 4096, device=META),
            "encoder_attention_mask": torch.empty(len(prompts), tokens.length, device=META),
            "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        }


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A family in the shape of a published model.

    Attributes:
        backbone: opens it.
        parameters: of each of its parts.
        bytes_of_features: of one image in float32, maps and attention to `NUM_WORDS` words.
    """

    backbone: PipelineBackbone
    parameters: dict[str, int]
    bytes_of_features: int


NUM_WORDS = 20


def main() -> None:
    """Print the models that the command names, or all."""
    print(
        "| model | image size | parameters | weights in bfloat16 | with cpu_offload | features of an image | levels |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or MODELS:
        shape = measure(name)
        count, most = sum(shape.parameters.values()), max(shape.parameters.values())
        levels = ", ".join(f"{level.channels} at {level.stride}" for level in shape.backbone.feature_info)
        print(
            f"| {name} | {shape.backbone.image_size} | {count / 1e9:.1f} B | {2 * count / GIB:.1f} GiB | "
            f"{2 * most / GIB:.1f} GiB | {shape.bytes_of_features / GIB:.2f} GiB | {levels} |",
            flush=True,
        )


def measure(name: str) -> Shape:
    """The model of that name in `MODELS`, and what one image's features take."""
    kind, build, image_size = MODELS[name]
    with META:
        pipeline = build()
    backbone = kind(pipeline, image_size=image_size, device=META, fingerprint="")
    parts = {part: module for part, module in pipeline.components.items() if isinstance(module, torch.nn.Module)}
    features = backbone.extract(
        torch.empty(1, *backbone.latent_shape, device=META),
        [" and ".join(f"a w{number}" for number in range(NUM_WORDS))],
        timestep=0.05,
        words=[Word(f"w{number}") for number in range(NUM_WORDS)],
        generators=[torch.Generator().manual_seed(0)],
    )
    tensors = [*features.maps.values(), *features.attention.values()]
    return Shape(
        backbone=backbone,
        parameters={part: sum(one.numel() for one in module.parameters()) for part, module in parts.items()},
        bytes_of_features=sum(4 * tensor.numel() for tensor in tensors),
    )


def stable_diffusion() -> StableDiffusionPipeline:
    """Stable Diffusion 1.4 and 1.5."""
    unet = UNet2DConditionModel(
        sample_size=64,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    return StableDiffusionPipeline(
        vae=autoencoder(4),
        unet=unet,
        text_encoder=clip_l(CLIPTextModel),
        tokenizer=tokenizer(77),
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> StableDiffusionXLPipeline:
    """SDXL base 1.0."""
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(4),
        unet=unet,
        text_encoder=clip_l(CLIPTextModel),
        text_encoder_2=clip_g(),
        tokenizer=tokenizer(77),
        tokenizer_2=tokenizer(77),
        scheduler=DDIMScheduler(),
        add_watermarker=False,
    )


def stable_diffusion_3(**transformer: Any) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3 and 3.5 with their T5."""
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=128, caption_projection_dim=64 * transformer["num_attention_heads"], **transformer
        ),
        vae=autoencoder(16),
        text_encoder=clip_l(CLIPTextModelWithProjection),
        text_encoder_2=clip_g(),
        text_encoder_3=t5_xxl(),
        tokenizer=tokenizer(77),
        tokenizer_2=tokenizer(77),
        tokenizer_3=tokenizer(256),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def stable_diffusion_3_5_medium() -> StableDiffusion3Pipeline:
    """2.5 billion parameters; the first blocks attend within the image a second time."""
    return stable_diffusion_3(
        num_layers=24,
        num_attention_heads=24,
        qk_norm="rms_norm",
        pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)),
    )


def stable_diffusion_3_5_large() -> StableDiffusion3Pipeline:
    """8 billion parameters."""
    return stable_diffusion_3(num_layers=38, num_attention_heads=38, qk_norm="rms_norm", pos_embed_max_size=192)


def flux() -> FluxPipeline:
    """FLUX.1 dev; schnell has no embedding of guidance."""
    return FluxPipeline(
        transformer=FluxTransformer2DModel(guidance_embeds=True),
        vae=autoencoder(16),
        text_encoder=clip_l(CLIPTextModel),
        text_encoder_2=t5_xxl(),
        tokenizer=tokenizer(77),
        tokenizer_2=tokenizer(512),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def pixart_sigma() -> PixArtSigmaPipeline:
    """PixArt-Sigma XL 2 at 1024 pixels."""
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            sample_size=128, out_channels=8, caption_channels=4096, use_additional_conditions=False
        ),
        vae=autoencoder(4),
        text_encoder=t5_xxl(),
        tokenizer=tokenizer(300),
        scheduler=DDIMScheduler(),
    )


def autoencoder(channels: int) -> AutoencoderKL:
    """That of all these models but for the number of channels; the newer ones lack two small convolutions."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=channels,
        use_quant_conv=channels == 4,
        use_post_quant_conv=channels == 4,
    )


def clip_l(kind: Callable[[CLIPTextConfig], Any]) -> Any:
    """CLIP ViT-L/14's text encoder."""
    return kind(
        CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
        )
    )


def clip_g() -> Any:
    """OpenCLIP ViT-bigG/14's text encoder."""
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=20,
            projection_dim=1280,
            hidden_act="gelu",
        )
    )


def t5_xxl() -> Any:
    """The encoder of T5 v1.1 XXL."""
    shape = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_heads": 64}
    return T5EncoderModel(T5Config(**shape, feed_forward_proj="gated-gelu", vocab_size=32128))


def tokenizer(length: int) -> Any:
    """One token a word."""
    return build_tokenizer(["a", "and", *(f"w{number}" for number in range(NUM_WORDS))], length)


MODELS: dict[str, tuple[Any, Callable[[], Any], int]] = {
    "Stable Diffusion 1.4": (StableDiffusionBackbone, stable_diffusion, 512),
    "SDXL base": (StableDiffusionXLBackbone, stable_diffusion_xl, 1024),
    "Stable Diffusion 3.5 medium": (StableDiffusion3Backbone, stable_diffusion_3_5_medium, 1024),
    "Stable Diffusion 3.5 large": (StableDiffusion3Backbone, stable_diffusion_3_5_large, 1024),
    "FLUX.1 dev": (FluxBackbone, flux, 1024),
    "PixArt-Sigma": (MaskedPixArtSigma, pixart_sigma, 1024),
}

if __name__ == "__main__":
    main()
