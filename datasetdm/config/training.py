"""The settings of the two trainings: of the P-Decoder, and of the ordinary model downstream."""

from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from datasetdm.config.base import Fraction, NoiseLevel, PathOrName, Section, Text, key_of
from datasetdm.decoder_methods import METHODS


class PromptNoise(Section):
    """Variation of prompts in decoder training, so that the decoder does not read labels from the text."""

    empty: Fraction = Field(default=0.15, description="Share of prompts that become empty")
    drop_word: Fraction = Field(default=0.15, description="Share that lose some of the words for what is in the image")
    wrong_word: Fraction = Field(
        default=0.05, description="Share in which one such word is replaced by that of another category"
    )
    generic: Fraction = Field(default=0.15, description="Share that become 'a photo'")

    @model_validator(mode="after")
    def _shares_of_one(self) -> Self:
        shares = self.model_dump()
        if (total := sum(shares.values())) > 1 + 1e-9:
            raise ValueError(
                f"the shares {', '.join(f'{name} {share:g}' for name, share in shares.items())} add up to {total:g}: "
                "they must not exceed 1 together; the rest is the share of unchanged prompts"
            )
        return self


class Reading(Section):
    """Further ways in which every image is read; what all of them say together becomes its annotation."""

    flip: bool = Field(default=False, description="Read the mirror image too, at every noise level")
    timesteps: tuple[NoiseLevel, ...] = Field(
        default=(), description="Further noise levels, besides `timestep`, at which the image is read"
    )
    attention: bool = Field(
        default=False,
        description="In every pass also read the attention alone, as the method self_attention does, where it knows "
        "all categories that the prompt names",
    )

    @model_validator(mode="after")
    def _something_further(self) -> Self:
        if not (self.flip or self.timesteps or self.attention):
            raise ValueError(
                "names no further way to read an image: set flip: true, timesteps or attention: true, or remove "
                "`reading`"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before_attention_was_read(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records of readings without it stay what they were."""
        content: dict[str, Any] = serialize(self)
        return content if self.attention else {k: v for k, v in content.items() if k != "attention"}


class Decoder(Section):
    """The P-Decoder and its training."""

    method: Annotated[str, key_of(METHODS)] = Field(
        default="p_decoder",
        description="How labels are read off the diffusion model: p_decoder, or a rival of the paper's, ours after "
        "theirs: grounding (Li et al.), cross_attention (DiffuMask), self_attention (Dataset Diffusion); see rivals.md",
    )
    hidden_dim: PositiveInt = Field(default=128, description="Width of the P-Decoder; a multiple of 4 and of num_heads")
    num_queries: PositiveInt = Field(default=30, description="Most objects that it can find in an image")
    num_layers: PositiveInt = Field(default=4, description="Layers of its transformer")
    num_heads: PositiveInt = Field(default=8, validate_default=True, description="Attention heads")
    feedforward_dim: PositiveInt = Field(default=512, description="Width inside the layers of its transformer")
    views_per_image: PositiveInt | None = Field(
        default=32,
        description="Cached augmented views of each labelled image; None: new views at every step, not cached",
    )
    train_timesteps: tuple[NoiseLevel, NoiseLevel] = Field(
        default=(1, 200), description="Range of noise levels of the views, inclusive; as in `timestep`"
    )
    timestep: NoiseLevel = Field(
        default=50,
        description="Noise level of the features after training: a share of the noise schedule between 0.0 and 1.0, or "
        "a timestep of 1000; 0.05 and 50 mean the same",
    )
    ensemble_size: PositiveInt = Field(default=1, description="Features are averaged over this many noise samples")
    reading: Reading | None = Field(
        default=None, description="Read every image in several ways and join what they say; null: once"
    )
    prompt_noise: PromptNoise = Field(default=PromptNoise(), description="How the prompts vary in training")
    category_from_prompt: bool = Field(default=False, description="Predict only categories that the prompt names")
    iterations: PositiveInt = Field(default=1000, description="Steps of the optimiser")
    batch_size: PositiveInt = Field(default=8, description="Views in a step")
    learning_rate: float = Field(default=3e-4, gt=0, description="Of AdamW")
    weight_decay: float = Field(default=0.05, ge=0, description="Of AdamW")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of feature channels dropped in training")
    evaluate_every: PositiveInt = Field(
        default=500, description="Steps between looks at dev and checkpoints; the best weights are kept"
    )

    @model_serializer(mode="wrap")
    def _as_before_there_were_choices(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The P-Decoder and a single reading are not listed, so that records of what was made stay what they were."""
        content: dict[str, Any] = serialize(self)
        unused = {"reading": self.reading is None, "method": self.method == "p_decoder"}
        return {name: value for name, value in content.items() if not unused.get(name)}

    @field_validator("reading")
    @classmethod
    def _each_level_once(cls, reading: Reading | None, info: ValidationInfo) -> Reading | None:
        levels = [info.data.get("timestep"), *(reading.timesteps if reading else ())]
        if len({*map(str, levels)}) < len(levels):
            raise ValueError(
                f"timesteps is {list(reading.timesteps if reading else ())}; each noise level may be there once, and "
                f"`timestep`, which is {levels[0]}, is read anyway"
            )
        return reading

    @field_validator("train_timesteps")
    @classmethod
    def _from_low_to_high(cls, timesteps: tuple[NoiseLevel, NoiseLevel]) -> tuple[NoiseLevel, NoiseLevel]:
        if type(timesteps[0]) is not type(timesteps[1]):
            raise ValueError(f"is {list(timesteps)}; write two noise levels (0.001, 0.2) or two timesteps (1, 200)")
        if timesteps[0] > timesteps[1]:
            raise ValueError(f"is {list(timesteps)}; the first has to be the lower one")
        return timesteps

    @field_validator("num_heads")
    @classmethod
    def _heads_share_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("hidden_dim")
        if width is not None and (width % heads or width % 4):
            raise ValueError(
                f"is {heads} and hidden_dim is {width}; hidden_dim has to be a multiple of 4 and of num_heads"
            )
        return heads


class Downstream(Section):
    """The ordinary model that each arm trains."""

    model: Text = Field(description="A name in `MODELS` of a file in datasetdm/downstream/architectures/")
    pretrained: PathOrName | None = Field(
        default=None,
        description="Folder or hub name of the backbone's weights, `name@revision` to pin it; None: random weights",
    )
    image_size: PositiveInt = Field(description="Side of the images that the model sees, in pixels")
    iterations: PositiveInt = Field(description="Steps of the optimiser")
    batch_size: PositiveInt = Field(default=8, description="Images in memory at once")
    accumulate: PositiveInt = Field(
        default=1, description="Batches per optimiser step, if memory cannot hold one large batch"
    )
    learning_rate: float = Field(gt=0, description="Of AdamW, after the warm-up")
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Iterations between checkpoints, from which an interrupted training resumes"
    )
    autocast: bool = Field(
        default=True,
        description="Multiply in bfloat16 where the device does so itself and it pays for the model (`ModelSpec`)",
    )
    score_threshold: Fraction = Field(default=0.05, description="Detections below it are dropped")
    hide_ignored: bool = Field(
        default=False,
        description="Paint over crowds and other regions that are to be ignored in training images, because the "
        "detectors would learn them as background",
    )

    @model_serializer(mode="wrap")
    def _as_before_regions_could_be_hidden(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records of trainings without it stay what they were."""
        content: dict[str, Any] = serialize(self)
        return content if self.hide_ignored else {k: v for k, v in content.items() if k != "hide_ignored"}

    @property
    def num_batches(self) -> int:
        """Number of batches in a training."""
        return self.iterations * self.accumulate
