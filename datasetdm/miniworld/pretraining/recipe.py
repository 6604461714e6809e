"""The settings of the embedded backbone's pretraining: one YAML file, read and validated here."""

from pathlib import Path
from typing import Self

import torch
import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from datasetdm.config import Fraction, Section
from datasetdm.errors import DatasetDMError


class Images(Section):
    """The rendered `web` images; captions come with them, labels do not."""

    num_images: PositiveInt
    size: PositiveInt = 128
    seed: int = 0
    workers: PositiveInt = 2


class Teacher(Section):
    """A frozen ResNet whose features a loss compares; `pretrain_resnet` trained it on the same images and captions."""

    resnet: Path = Field(description="Folder that `pretrain_resnet` exported")
    weight: PositiveFloat = Field(default=0.5, description="Of the loss")


class Autoencoder(Section):
    """AutoencoderTiny: a factor of 2 per level after the first, the same number of channels everywhere."""

    channels: PositiveInt
    encoder_blocks: tuple[int, ...] = Field(description="Residual blocks per level, from the image down")
    decoder_blocks: tuple[int, ...] = Field(description="Residual blocks per level, from the latents up")
    latent_channels: PositiveInt = 4
    steps: PositiveInt
    decoder_steps: int = Field(
        default=0, ge=0, description="Further steps for the decoder alone, the latents staying as they are"
    )
    crops: tuple[PositiveInt, ...] = Field(description="Sides of the training crops in pixels, in turn, step by step")
    pixels: PositiveInt = Field(description="Pixels per step; small crops come in larger batches")
    learning_rate: PositiveFloat
    gradient_weight: float = Field(default=1.0, ge=0, description="Weight of the L1 distance of image gradients")
    perceptual: Teacher | None = Field(default=None, description="Perceptual loss; None: pixels alone")
    moments_weight: float = Field(
        default=0.02, ge=0, description="Weight of the latents' distance from mean 0, deviation 1"
    )
    noise: float = Field(default=0.05, ge=0, description="Deviation of the noise on the latents that are decoded")
    downscale_every: int = Field(
        default=4, ge=2, description="Every so many steps halved latents must decode to the halved image"
    )

    @property
    def factor(self) -> int:
        """Image pixels per latent, along one side."""
        return 2 ** (len(self.encoder_blocks) - 1)


class TextEncoder(Section):
    """CLIPTextModel on a word-level tokenizer."""

    hidden_size: PositiveInt
    num_layers: PositiveInt
    num_heads: PositiveInt
    max_length: PositiveInt = 32


class UNet(Section):
    """UNet2DConditionModel with self- and cross-attention at every level but the first."""

    block_out_channels: tuple[int, ...]
    layers_per_block: PositiveInt = 1
    head_dim: PositiveInt = 32
    norm_num_groups: PositiveInt = 8


class Phase(Section):
    """A stretch of the U-Net's training at one image size."""

    image_size: PositiveInt
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    warmup: int = Field(default=0, ge=0, description="Steps of linear rise at the start of the phase")
    decay: Fraction = Field(default=0.0, description="Last share of the phase in which the rate falls linearly to zero")


class Tagger(Section):
    """A ResNet-18 that reads the categories a caption names off its image; downstream models start from it."""

    image_sizes: tuple[PositiveInt, ...] = Field(description="In pixels, in turn, step by step")
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    export: Path


class Recipe(Section):
    """The whole of a pretraining file."""

    name: str
    seed: int = 0
    device: str = "cpu"
    autocast: bool = Field(default=False, description="bfloat16 products; pays on a GPU and on CPUs with AVX512-BF16")
    cuda_graph: bool = Field(default=False, description="Capture a phase's pass as a CUDA graph; needs a GPU")
    threads: PositiveInt | None = Field(default=None, description="CPU threads; None leaves it to torch")
    work: Path = Field(description="Folder of the rendered images, checkpoints and log.csv; may be deleted afterwards")
    export: Path
    images: Images
    autoencoder: Autoencoder
    text_encoder: TextEncoder
    unet: UNet
    alignment: Teacher | None = Field(
        default=None,
        description="Representation alignment (REPA, arXiv 2410.06940): the U-Net's deep features learn to predict the "
        "ResNet's. The paper reports faster training; here it was not tried against a training without it",
    )
    start: Path | None = Field(
        default=None,
        description="Exported pipeline whose U-Net and text encoder are trained further, on the latents of its "
        "autoencoder, which stays as it is; None: all from scratch",
    )
    phases: tuple[Phase, ...] = Field(min_length=1)
    empty_captions: Fraction = 0.1
    snr_clip: PositiveFloat = 5.0
    ema_decay: float = Field(default=0.999, gt=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    checkpoint_every: PositiveInt = Field(default=500, description="Steps between checkpoints")
    export_every: PositiveInt = Field(default=2000, description="U-Net steps between exports of the pipeline")
    tagger: Tagger
    remarks: str = Field(default="", description="What was seen in drawn images; goes into the model card")

    @model_validator(mode="after")
    def _graphs_need_a_gpu(self) -> Self:
        if self.cuda_graph and torch.device(self.device).type != "cuda":
            raise ValueError(f"cuda_graph needs a GPU, but device is {self.device}: set cuda_graph: false")
        return self

    @property
    def hardware(self) -> str:
        """What it is trained on, for the model card."""
        if torch.device(self.device).type == "cuda":
            return f"one {torch.cuda.get_device_name(self.device)}"
        return f"`{self.device}`" + (f", {self.threads} threads" if self.threads else "")


def load_recipe(path: Path) -> Recipe:
    """Read and validate a pretraining file.

    Raises:
        DatasetDMError: it is missing or holds an unknown or wrong setting.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing; the repository has params/pretrain_cpu.yaml.") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise DatasetDMError(f"{path} is not a valid pretraining recipe: {' '.join(str(error).split())}") from None


def require_pipeline(folder: Path) -> None:
    """Check that `start` names an exported pipeline.

    Raises:
        DatasetDMError: it does not.
    """
    if not (folder / "model_index.json").exists():
        raise DatasetDMError(f"{folder} holds no exported pipeline: `start:` of the pretraining recipe names one.")
