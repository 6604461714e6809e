"""The settings of the diffusion model."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from datasetdm.config.adapters import IPAdapter, Lora
from datasetdm.config.base import Names, PathOrName, Section, Text


def _as_pairs(layers: Any) -> Any:
    """Names, or a mapping from names to strides, as pairs; a section has to be hashable, which a mapping is not."""
    if isinstance(layers, Mapping):
        return tuple(layers.items())
    if isinstance(layers, list | tuple):
        return tuple((layer, None) if isinstance(layer, str) else layer for layer in layers)
    return layers


Layers = Annotated[
    tuple[tuple[str, PositiveInt | None], ...],
    BeforeValidator(_as_pairs, json_schema_input_type=list[str] | dict[str, PositiveInt | None]),
]


class Backbone(Section):
    """The frozen text-to-image diffusion model."""

    path: PathOrName = Field(
        description="Folder in the diffusers pipeline format, or a hub name such as CompVis/stable-diffusion-v1-4"
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit); None for a local folder")
    image_size: PositiveInt = Field(description="Side of the square images that the model generates, in pixels")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Precision of the weights; bfloat16 halves the memory"
    )
    cpu_offload: bool = Field(
        default=False, description="Keep only the part that is at work on the GPU: slower, for models that do not fit"
    )
    loras: tuple[Lora, ...] = Field(default=(), description="Added to the model, for drawing and for reading")
    ip_adapter: IPAdapter | None = Field(
        default=None, description="Reference images that the model sees next to the prompt; for drawing and for reading"
    )
    layers: Layers | None = Field(
        default=None,
        min_length=1,
        description="Modules whose outputs are the features, as a list of names, or as name: stride in pixels that its "
        "output is brought to; '' is the model's prediction; null: the family's choice",
    )
    attention_layers: Names | None = Field(
        default=None, description="Names of the attention layers that are read; null: the family's choice"
    )
    allow_mismatch: bool = Field(
        default=False,
        description="Use a model that cannot generate such images: its text encoder does not know their words, or it "
        "is the embedded model and the data are not from the embedded world",
    )
