"""The sections of a benchmark's block in `params.yaml`, about one per stage. Each can be validated on its own.

A rule about two settings is a validator of the later one, so it is checked even if other settings are wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SerializeAsAny,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from datasetdm.arms import ARMS, MAIN_ARMS
from datasetdm.layouts import LAYOUTS
from datasetdm.task_parts import TASKS

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0)]
Timestep = Annotated[int, Field(ge=0, lt=1000)]
GRID = r"^([1-9]\d*)x([1-9]\d*)$"  # rows x columns
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Scene = Literal["field", "street", "beach", "water", "snow", "room", "table"]
Distribution = Literal["web", "coco", "long_tail", "street", "room", "figure"]
SMALLEST_TILE = 4  # pixels; smallest side of a tile in a splice
FARTHEST = (2**16 - 1) / 256  # metres; the largest depth that a PNG in KITTI's units can hold


def _at_home(path: str) -> str:
    """`~/models` is a folder; a hub name stays."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"has {', '.join(twice)} twice")
    return values


def _key_of(registry: Mapping[str, Any]) -> AfterValidator:
    """Accepts the names that a registry holds when a value is checked."""

    def check(name: str) -> str:
        if name not in registry:
            choices = ", ".join(f"'{key}'" for key in registry)
            raise ValueError(f"is '{name}'; choose one of {choices}")
        return name

    return AfterValidator(check)


PathOrName = Annotated[Text, AfterValidator(_at_home)]
Names = Annotated[tuple[Text, ...], AfterValidator(_once_each)]
ArmName = Annotated[str, _key_of(ARMS)]
Format = Annotated[str, _key_of(LAYOUTS)]


class Section(BaseModel):
    """An immutable block of `params.yaml`. An unknown key is an error, which catches typing mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Backbone(Section):
    """The frozen text-to-image diffusion model."""

    path: PathOrName = Field(
        description="Folder in the diffusers pipeline format, or a hub name such as CompVis/stable-diffusion-v1-4"
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit); None for a local folder")
    image_size: PositiveInt = Field(description="Side of the square images that the model generates, in pixels")
    device: Text = Field(default="auto", description="auto, cpu, cuda, cuda:1, ...")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    allow_mismatch: bool = Field(
        default=False,
        description="Use a model that cannot generate such images: its text encoder does not know their words, or it "
        "is the embedded model and the data are not from the embedded world",
    )


class Miniworld(Section):
    """The images of the embedded world that are used instead of a real data set."""

    distribution: Distribution = "coco"
    num_train: PositiveInt
    num_val: PositiveInt
    image_size: PositiveInt = Field(default=128, description="Side of the images in pixels: divides 256, or n x 128")
    seed: Seed = 0

    @field_validator("image_size")
    @classmethod
    def _same_scene_at_any_size(cls, size: int) -> int:
        if size < 16 or (256 % size and size % 128):
            raise ValueError(f"is {size}; the embedded world renders at 16, 32, 64, 128, 256 and multiples of 128")
        return size


class TaskSection(Section):
    """The settings of a task. `TASKS` has the section of each."""

    name: str


class InstanceAnnotation(TaskSection):
    """A mask and a category for every object."""

    name: Literal["instance"] = "instance"
    outlines: Literal["decoder", "grabcut"] = Field(
        default="decoder", description="grabcut: move the outlines of the P-Decoder's masks to edges in the image"
    )


class SemanticAnnotation(TaskSection):
    """A category for every pixel."""

    name: Literal["semantic"] = "semantic"
    unseen: Names = Field(
        default=(), description="Categories without training labels, which the decoder finds by name (open vocabulary)"
    )
    tail: Names = Field(default=(), description="Rare categories, reported separately")
    min_certainty: Fraction = Field(default=0.0, description="Synthetic pixels below this confidence are ignored (255)")


class DepthAnnotation(TaskSection):
    """Metric depth for every pixel."""

    name: Literal["depth"] = "depth"
    min_depth: float = Field(default=0.001, gt=0, description="Metres; nearer pixels are not evaluated")
    max_depth: float = Field(
        default=10.0,
        gt=0,
        le=FARTHEST,
        validate_default=True,
        description="Metres; farther pixels are used neither for training nor for evaluation",
    )
    crop: Literal["none", "garg", "eigen"] = Field(default="none", description="Part of the image that is evaluated")

    @field_validator("max_depth")
    @classmethod
    def _beyond_min_depth(cls, farthest: float, info: ValidationInfo) -> float:
        nearest = info.data.get("min_depth")
        if nearest is not None and farthest <= nearest:
            raise ValueError(f"is {farthest:g}; it has to be above min_depth, which is {nearest:g}")
        return farthest


class PoseAnnotation(TaskSection):
    """COCO's 17 keypoints for every person."""

    name: Literal["pose"] = "pose"


def _of_its_task(value: Any) -> TaskSection:
    """The settings as the section of the task that they name."""
    if isinstance(value, TaskSection):
        return value
    choices = ", ".join(f"'{name}'" for name in TASKS)
    name = value.get("name") if isinstance(value, dict) else None
    if name is None:
        raise ValueError(f"has no name; choose one of {choices}")
    if name not in TASKS:
        raise ValueError(f"is '{name}'; choose one of {choices}")
    section: TaskSection = resolve_name(TASKS[name].settings).model_validate(value)
    return section


TaskSettings = Annotated[SerializeAsAny[TaskSection], BeforeValidator(_of_its_task)]


class Source(Section):
    """The folder of the real data and its layout."""

    format: Format
    root: Path
    miniworld: Miniworld | None = Field(
        default=None, description="Render this into `root` first; None: `root` holds your own data"
    )
    names: dict[str, Text] = Field(
        default={}, description="Category -> English noun, for names that mean nothing in a prompt"
    )
    merge_same_names: bool = Field(
        default=False, description="Merge categories that read the same in a prompt; False: refuse them"
    )
    crowds: Literal["ignore", "as_objects"] = Field(
        default="ignore",
        description="Regions with `iscrowd: 1`. ignore: used neither for training nor for scores, as in COCO; "
        "as_objects: ordinary objects (CVAT exports painted masks with iscrowd: 1)",
    )

    @model_validator(mode="after")
    def _crowds_where_there_are_any(self) -> Self:
        if self.crowds != "ignore" and LAYOUTS[self.format].task not in ("instance", "pose"):
            raise ValueError(f"crowds: the format '{self.format}' has no crowd regions; remove this setting")
        return self

    @field_validator("root", mode="before")
    @classmethod
    def _a_folder(cls, root: Any) -> Any:
        if isinstance(root, str) and not root.strip():
            raise ValueError("is empty; name the folder of the data set")
        return Path(root).expanduser() if isinstance(root, str) else root


class DataSource(Source):
    """The real data of a benchmark, and optionally another source of the decoder's labelled images."""

    decoder: Source | None = Field(
        default=None,
        description="The decoder's labelled images, such as Virtual KITTI's dense depth for KITTI",
    )


class Ingest(Section):
    """Sizes of the image sets: few-shot, dev, oracle and iid from the training images; test is the validation set."""

    num_real: PositiveInt
    num_dev: PositiveInt
    num_oracle: int = Field(
        default=0,
        ge=0,
        description="More training images, with labels for the arm `oracle`, without labels for `pseudo` and "
        "`self_training`",
    )
    num_test: PositiveInt | None = Field(default=None, description="None: the whole validation set")
    num_iid: int = Field(
        default=0,
        ge=0,
        description="Training images for a second test set, used for nothing else; the first may differ from training",
    )
    max_lost: Fraction = Field(
        default=0.1,
        description="`ingest` stops if it leaves out more than this share of the objects (crowds, boxes without masks, "
        "no area), because models would learn them as background",
    )
    tail_images: PositiveInt | None = Field(
        default=None,
        description="Few-shot images of each category in `task.tail`; None: as many as of others",
    )


class PromptNoise(Section):
    """Variation of prompts in decoder training, so that the decoder does not read labels from the text."""

    empty: Fraction = 0.15
    drop_word: Fraction = 0.15
    wrong_word: Fraction = 0.05
    generic: Fraction = 0.15

    @model_validator(mode="after")
    def _shares_of_one(self) -> Self:
        shares = self.model_dump()
        if (total := sum(shares.values())) > 1 + 1e-9:
            raise ValueError(
                f"the shares {', '.join(f'{name} {share:g}' for name, share in shares.items())} add up to {total:g}: "
                "they must not exceed 1 together; the rest is the share of unchanged prompts"
            )
        return self


class Decoder(Section):
    """The P-Decoder and its training."""

    hidden_dim: PositiveInt = 128
    num_queries: PositiveInt = 30
    num_layers: PositiveInt = 4
    num_heads: PositiveInt = Field(default=8, validate_default=True)
    feedforward_dim: PositiveInt = 512
    views_per_image: PositiveInt | None = Field(
        default=32,
        description="Cached augmented views of each labelled image; None: new views at every step, not cached",
    )
    train_timesteps: tuple[Timestep, Timestep] = Field(
        default=(1, 200), description="Range of noise levels of the views, inclusive"
    )
    timestep: Timestep = Field(default=50, description="Noise level of the features after training")
    noise_draws: PositiveInt = Field(default=1, description="Features are averaged over this many noise samples")
    prompt_noise: PromptNoise = PromptNoise()
    category_from_prompt: bool = Field(default=False, description="Predict only categories that the prompt names")
    iterations: PositiveInt = 1000
    batch_size: PositiveInt = 8
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of feature channels dropped in training")
    evaluate_every: PositiveInt = 500

    @field_validator("train_timesteps")
    @classmethod
    def _from_low_to_high(cls, timesteps: tuple[int, int]) -> tuple[int, int]:
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


class Prompts(Section):
    """The prompts for the diffusion model."""

    num_prompts: PositiveInt
    plain_fraction: Fraction = Field(default=0.3, description="Share of plain 'a photo of a ...' prompts (paper: 30 %)")
    max_objects: PositiveInt = Field(default=4, description="Maximum number of objects in a prompt")
    subjects: Names = Field(
        default=(), description="What prompts name, if the categories cannot be generated; empty: the categories"
    )
    scenes: Annotated[tuple[Scene, ...], AfterValidator(_once_each)] = Field(
        default=(), description="Keys of prompts.scenes.SCENES; empty: wherever an object may be"
    )
    seed: Seed = 0


class Synthesis(Section):
    """The synthetic set."""

    num_images: PositiveInt = Field(description="Images to generate, accepted or not; prompts are used in turn")
    num_inference_steps: int = Field(default=15, ge=1, le=1000)
    guidance_scale: float = Field(default=2.5, ge=1.0)
    guidance_rescale: Fraction = Field(default=0.0, description="Reduces the glaring colours of high guidance")
    scheduler: Literal["dpmsolver++", "ddim", "pndm", "model"] = Field(
        default="dpmsolver++", description="model: the scheduler in the model's folder"
    )
    extraction: Literal["renoised", "last_step"] = "renoised"
    score_threshold: Fraction = 0.4
    require_prompted: bool = Field(
        default=False,
        description="Reject images that lack a category of the prompt, or have another number of its objects",
    )
    doubt_threshold: Fraction | None = Field(
        default=None,
        description="Reject images with an object whose score is between this and score_threshold: it would be missing "
        "from the labels and learned as background",
    )
    min_area: Fraction = Field(default=0.001, description="Smallest mask to keep, as a share of the image")
    max_instances: PositiveInt = 20
    batch_size: PositiveInt = 8
    shard_size: PositiveInt = Field(default=50, description="Images per unit of work")
    seed: Seed = 0

    @field_validator("doubt_threshold")
    @classmethod
    def _doubt_below_trust(cls, doubt: float | None, info: ValidationInfo) -> float | None:
        trust = info.data.get("score_threshold")
        if doubt is not None and trust is not None and doubt >= trust:
            raise ValueError(f"is {doubt:g}; it has to be below score_threshold, which is {trust:g}")
        return doubt


class Augmentation(Section):
    """Image splicing."""

    num_images: int = Field(ge=0)
    proportions: dict[Annotated[str, StringConstraints(pattern=GRID)], Annotated[float, Field(gt=0)]] = Field(
        description="Grid 'rows x columns' -> weight"
    )
    max_size: PositiveInt = Field(description="Longest side of a spliced image; larger grids shrink their tiles")
    seed: Seed = 0

    @field_validator("proportions")
    @classmethod
    def _some_grid(cls, grids: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if info.data.get("num_images") and not grids:
            raise ValueError("is empty; name a grid such as 2x2: 1, or set num_images to 0")
        return grids

    @field_validator("max_size")
    @classmethod
    def _room_for_every_tile(cls, size: int, info: ValidationInfo) -> int:
        most = max((int(side) for grid in info.data.get("proportions") or () for side in grid.split("x")), default=1)
        if size < most * SMALLEST_TILE:
            raise ValueError(
                f"is {size}, which leaves fewer than {SMALLEST_TILE} pixels for each of {most} tiles; "
                f"make it {most * SMALLEST_TILE} or more"
            )
        return size


class Downstream(Section):
    """The ordinary model that each arm trains."""

    model: Text = Field(description="A name in `MODELS` of a file in datasetdm/downstream/architectures/")
    pretrained: PathOrName | None = Field(
        default=None,
        description="Folder or hub name of the backbone's weights, `name@revision` to pin it; None: random weights",
    )
    arms: Annotated[tuple[ArmName, ...], AfterValidator(_once_each)] = Field(default=MAIN_ARMS, min_length=1)
    p_decoder: bool = Field(default=False, description="Also report the P-Decoder itself on the test images")
    image_size: PositiveInt
    iterations: PositiveInt = Field(description="Steps of the optimiser")
    batch_size: PositiveInt = Field(default=8, description="Images in memory at once")
    accumulate: PositiveInt = Field(
        default=1, description="Batches per optimiser step, if memory cannot hold one large batch"
    )
    learning_rate: float = Field(gt=0)
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Iterations between checkpoints, from which an interrupted training resumes"
    )
    autocast: bool = Field(
        default=True, description="Multiply in bfloat16 if the CPU supports it and the (instance) model allows it"
    )
    real_weight: Fraction = Field(
        default=0.5, description="Share of real images in a batch of `both`, `real_augmented` and `self_training`"
    )
    self_training_threshold: Fraction = Field(
        default=0.5, description="Lowest confidence of the labels of `self_training`; choose it on dev"
    )
    score_threshold: Fraction = Field(default=0.05, description="Detections below it are dropped")

    @property
    def num_batches(self) -> int:
        """Number of batches in a training."""
        return self.iterations * self.accumulate
