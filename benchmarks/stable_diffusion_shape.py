"""Does the backbone hold a model of Stable Diffusion 1.4's size? Random weights of its exact shape, nothing downloaded.

python benchmarks/stable_diffusion_shape.py --image-size 512 --steps 2

Prints seconds and peak memory of building, loading, drawing and reading features. Needs 3 GB of disk (in TMPDIR) and
8 GB of memory; at 512 px a step takes some ten seconds on two CPU cores.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.prompts.mentions import Word

PROMPTS = ["a photo of a dog and two cats on a sofa"]
WORDS = [Word("dog"), Word("cat")]


def main() -> None:
    """Build, load, draw, read."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with timed("build and save"):
            build_pipeline(folder).save_pretrained(folder)
        with timed("load"):
            settings = config.Backbone(path=name, image_size=arguments.image_size, dtype=arguments.dtype)
            backbone = load_backbone(settings, arguments.device)
        for level in backbone.feature_info:
            print(f"  stride {level.stride}: {level.channels} channels, {level.attention_layers} attention layers")
        with timed(f"draw one image, {arguments.steps} steps with guidance"):
            drawn = backbone.generate(
                PROMPTS,
                generators=[torch.Generator().manual_seed(0)],
                num_inference_steps=arguments.steps,
                guidance_scale=5.0,
                scheduler="ddim",
            )
        with timed("decode"):
            images = backbone.decode(drawn.latents)
        with timed("read features"):
            features = backbone.extract(
                drawn.latents, PROMPTS, timestep=50, words=WORDS, generators=[torch.Generator().manual_seed(0)]
            )
        assert images.shape == (1, arguments.image_size, arguments.image_size, 3)
        assert all(torch.isfinite(maps).all() for maps in features.maps.values())
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB")


def build_pipeline(folder: Path) -> StableDiffusionPipeline:
    """Stable Diffusion 1.4 (its published configuration) with random float16 weights and a tokenizer of bytes."""
    down = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    print(f"U-Net of {sum(p.numel() for p in unet.parameters()) / 1e6:.1f} M parameters")
    return StableDiffusionPipeline(
        vae=vae.half(),
        unet=unet.half(),
        text_encoder=CLIPTextModel(text).half(),
        tokenizer=build_tokenizer(folder),
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer without merges: every letter a token."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
