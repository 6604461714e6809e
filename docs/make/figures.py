"""`python -m docs.make.figures`: the figures of docs/how-it-works.md, from what the embedded model really yields.

What is seen: a rendered image with its true labels, the image with the noise that it is read with, the model's features
(their three main directions as red, green and blue), and its attention to words of the caption. Nothing is trained.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.diffusion.noise import noise_of
from datasetdm.miniworld.captions import write_caption
from datasetdm.miniworld.rendering import Render, render
from datasetdm.miniworld.scene import sample_scene
from datasetdm.prompts.mentions import Word
from docs.make.svg import arrow, box, document, picture, text

IMAGES = Path(__file__).parents[1] / "images"
MODEL = "data/backbones/miniworld"
SCENE = 35  # seed of a street with a bus, an umbrella and a person
WORDS = ("bus", "umbrella", "person")
TIMESTEP = 50  # as `decoder.timestep` in params.yaml
SIDE, GAP, LEFT = 128, 16, 24


def main() -> None:
    """Write all figures."""
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "chain.svg").write_text(chain(), encoding="utf-8")
    (IMAGES / "features.svg").write_text(features(), encoding="utf-8")


def features() -> str:
    """What the P-Decoder sees of a labelled image."""
    scene_rng = np.random.default_rng(SCENE)
    scene = sample_scene(scene_rng, "coco", "train")
    shown, caption = render(scene, 128), write_caption(scene, scene_rng)
    backbone = load_backbone(config.Backbone(path=MODEL, image_size=128), "cpu")
    latents = encode_images(backbone, [shown.image])
    found = backbone.extract(
        latents,
        [caption],
        timestep=TIMESTEP,
        words=[Word(word) for word in WORDS],
        generators=[torch.Generator().manual_seed(0)],
    )
    first = [
        ("labelled image", shown.image),
        (f"with noise (t = {TIMESTEP})", _noised(backbone, latents)),
        *((f"features, stride {stride}", main_directions(maps[0])) for stride, maps in sorted(found.maps.items())),
    ]
    heat = [(f"attention to “{word}”", _attention(found.attention, n, shown.image)) for n, word in enumerate(WORDS)]
    second = [*heat, ("true masks", _masks(shown))]
    width = 2 * LEFT + len(first) * (SIDE + GAP) - GAP
    return document(
        width,
        400,
        f"An image of the embedded world, its noised version, features at four resolutions, and attention to {WORDS}.",
        text(LEFT, 28, f"“{caption}”", "bold"),
        *_row(44, first),
        text(LEFT, 226, "The same pass also says where the words of the caption are:", "soft"),
        *_row(240, second),
    )


def main_directions(maps: torch.Tensor) -> np.ndarray:
    """Features (C x h x w) as colours: their three main directions, uint8 h x w x 3."""
    channels, height, width = maps.shape
    rows = maps.reshape(channels, -1).T.double()
    rows = (rows - rows.mean(0)) / rows.std(0).clamp_min(1e-6)
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    directions = directions[:3]
    signs = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()  # the sign of a direction is chance
    colours = rows @ (directions * signs).T
    low, high = colours.quantile(0.02, 0), colours.quantile(0.98, 0)
    scaled = ((colours - low) / (high - low)).clamp(0, 1).reshape(height, width, 3)
    return (scaled * 255).round().byte().numpy()


def chain() -> str:
    """The stages and what passes between them."""
    return document(
        880,
        330,
        "The chain: labelled images train the P-Decoder, which labels what the prompts draw; a model learns from both.",
        box(24, 30, 150, 70, "labelled images", "a few dozen", "ingest"),
        box(24, 210, 150, 70, "prompts", "templates, LLM, files", "write_prompts"),
        box(250, 120, 170, 70, "diffusion model", "frozen: draws, is read"),
        box(250, 20, 170, 70, "P-Decoder", "features → labels", "train_decoder"),
        box(496, 120, 160, 70, "images with labels", "filtered, spliced", "synthesize, augment"),
        box(716, 120, 140, 70, "ordinary model", "real + synthetic", "train_downstream"),
        box(716, 240, 140, 60, "report", "compare"),
        arrow((174, 55), (248, 55)),
        text(211, 46, "learn", "mid soft"),
        arrow((335, 120), (335, 92)),
        text(346, 110, "features", "soft"),
        arrow((174, 245), (335, 245), (335, 192)),
        text(254, 238, "draw", "mid soft"),
        arrow((420, 155), (494, 155)),
        text(457, 146, "images", "mid soft"),
        arrow((420, 55), (576, 55), (576, 118)),
        text(500, 46, "labels", "mid soft"),
        arrow((656, 155), (714, 155)),
        arrow((100, 30), (100, 12), (786, 12), (786, 118)),
        arrow((786, 190), (786, 238)),
    )


def _row(top: float, pictures: list[tuple[str, np.ndarray]]) -> list[str]:
    parts = []
    for number, (name, image) in enumerate(pictures):
        x = LEFT + number * (SIDE + GAP)
        parts += [picture(x, top, SIDE, image), text(x + SIDE / 2, top + SIDE + 18, name, "mid soft")]
    return parts


def _noised(backbone: Backbone, latents: torch.Tensor) -> np.ndarray:
    """The image that the noised latents decode to."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    schedule = noise_of(backbone.scheduler)  # type: ignore[attr-defined]
    noisy = schedule.add(latents.float(), noise, schedule.timesteps([TIMESTEP]))
    image: np.ndarray = backbone.decode(noisy.to(latents.dtype))[0].numpy()
    return image


def _attention(attention: dict[int, torch.Tensor], word: int, image: np.ndarray) -> np.ndarray:
    """Attention to a word, mean over all layers, as heat over the grey image."""
    layers = [F.interpolate(levels[:, word], size=image.shape[:2], mode="bilinear")[0] for levels in attention.values()]
    heat = torch.cat(layers).mean(0).numpy()
    heat = (heat - heat.min()) / (heat.max() - heat.min())
    colours = colormaps["inferno"](heat)[..., :3] * 255
    grey = image.mean(2, keepdims=True)
    return np.asarray(0.25 * grey + 0.75 * colours).round().astype(np.uint8)


def _masks(shown: Render) -> np.ndarray:
    """The true masks in colours over the grey image."""
    picture = np.repeat(shown.image.mean(2, keepdims=True), 3, axis=2)
    for number, mask in enumerate(shown.masks):
        colour = np.array(colormaps["Set2"](number)[:3]) * 255
        picture[mask] = 0.25 * picture[mask] + 0.75 * colour
    return picture.round().astype(np.uint8)


if __name__ == "__main__":
    main()
