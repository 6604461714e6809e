"""The settings of the diffusion model."""

from typing import Literal

from pydantic import Field, PositiveInt

from datasetdm.config.base import PathOrName, Section, Text


class Backbone(Section):
    """The frozen text-to-image diffusion model."""

    path: PathOrName = Field(
        description="Folder in the diffusers pipeline format, or a hub name such as CompVis/stable-diffusion-v1-4"
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit); None for a local folder")
    image_size: PositiveInt = Field(description="Side of the square images that the model generates, in pixels")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    allow_mismatch: bool = Field(
        default=False,
        description="Use a model that cannot generate such images: its text encoder does not know their words, or it "
        "is the embedded model and the data are not from the embedded world",
    )
