"""The settings of what is added to the diffusion model: LoRAs, an IP-Adapter, a LoRA that is trained here."""

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from datasetdm.config.base import LocalPath, Names, PathOrName, Section, Seed, Text


class Lora(Section):
    """A LoRA (Hu et al., arXiv 2106.09685) that is added to the diffusion model."""

    path: PathOrName = Field(description="A file, a folder, or a hub name; safetensors")
    file: Text | None = Field(default=None, description="Its file in the folder, if that holds several")
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit)")
    scale: float = Field(default=1.0, description="How strongly it changes the model")


class IPAdapter(Section):
    """An IP-Adapter (Ye et al., arXiv 2308.06721), which shows reference images to the model next to the prompt."""

    path: PathOrName = Field(description="A folder or a hub name such as h94/IP-Adapter")
    file: Text = Field(description="Its weights below `path`, such as models/ip-adapter_sd15.safetensors")
    image_encoder: Text = Field(
        default="image_encoder",
        description="Folder of the CLIP image encoder below `path`, such as models/image_encoder",
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit)")
    scale: NonNegativeFloat = Field(default=1.0, description="How strongly the reference images count; 0: not at all")
    images: LocalPath = Field(description="Folder with the reference images; the model sees all of them at once")

    @field_validator("file")
    @classmethod
    def _no_pickle(cls, file: str) -> str:
        if not file.endswith(".safetensors"):
            raise ValueError(f"is {file}; name a file of safetensors: others can hold code, and are never loaded")
        return file


class Adaptation(Section):
    """A LoRA that the stage `adapt` trains on the unlabelled images of a benchmark, for drawing and for reading."""

    rank: PositiveInt = Field(default=8, description="Rank of the LoRA: how much it can learn")
    targets: Names = Field(
        default=("to_q", "to_k", "to_v", "to_out.0"),
        min_length=1,
        description="Layers that it changes, linear ones and convolutions, by the end of their names in the network",
    )
    num_images: PositiveInt | None = Field(
        default=None, description="Unlabelled images that it learns from (the oracle set); null: all"
    )
    steps: PositiveInt = Field(default=500, description="Training steps")
    batch_size: PositiveInt = Field(default=4, description="Images per step")
    learning_rate: PositiveFloat = Field(default=1e-4, description="Of AdamW, the same in all steps")
    prior_weight: NonNegativeFloat = Field(
        default=0.0,
        description="Weight of the loss on images that the model drew before (DreamBooth's prior preservation)",
    )
    num_prior_images: PositiveInt = Field(default=64, description="Number of these images")
    gradient_checkpointing: bool = Field(default=False, description="Less memory on a GPU, more time")
    scale: float = Field(default=1.0, description="How strongly images are drawn with it")
    reading_scale: float | None = Field(
        default=None, description="How strongly the P-Decoder reads with it; null: like `scale`, 0: without it"
    )
    seed: Seed = Field(default=0, description="Of the order of the images, the noise and the first weights")
