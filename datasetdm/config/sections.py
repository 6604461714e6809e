"""The sections of a benchmark's block in `params.yaml`: one per stage or so, each valid by itself.

A rule about two settings is a validator of the later one, so that it is checked whatever else is wrong.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from datasetdm.arms import MAIN_ARMS, ArmName

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0)]
Timestep = Annotated[int, Field(ge=0, lt=1000)]
GRID = r"^([1-9]\d*)x([1-9]\d*)$"  # rows x columns
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Scene = Literal["field", "street", "beach", "water", "snow", "room", "table"]
Distribution = Literal["web", "coco", "long_tail", "street", "room", "figure"]
SMALLEST_TILE = 4  # pixels, across a tile of a splice
FARTHEST = (2**16 - 1) / 256  # metres that a depth PNG holds, in KITTI's units


def _at_home(path: str) -> str:
    """`~/models` is a folder; a hub name stays."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"has {', '.join(twice)} twice")
    return values


PathOrName = Annotated[Text, AfterValidator(_at_home)]
Names = Annotated[tuple[Text, ...], AfterValidator(_once_each)]


class Section(BaseModel):
    """A frozen block of `params.yaml`; an unknown key is an error, so that a typing mistake is found."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Backbone(Section):
    """The frozen text-to-image diffusion model."""

    path: PathOrName = Field(
        description="Folder in the diffusers pipeline format, or a hub name such as CompVis/stable-diffusion-v1-4"
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit); None for a local folder")
    image_size: PositiveInt = Field(description="Side of the square images that the model draws, in pixels")
    device: Text = Field(default="auto", description="auto, cpu, cuda, cuda:1, ...")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    allow_mismatch: bool = Field(
        default=False,
        description="Use a model that cannot draw such images: its text encoder does not know their words, or it is "
        "the embedded model and the data are not of the embedded world",
    )


class Miniworld(Section):
    """How much of the embedded world stands in for the real data set."""

    distribution: Distribution = "coco"
    num_train: PositiveInt
    num_val: PositiveInt
    image_size: PositiveInt = Field(default=128, description="Side of the images in pixels; divides 256, or n x 128")
    seed: Seed = 0

    @field_validator("image_size")
    @classmethod
    def _same_scene_at_any_size(cls, size: int) -> int:
        if size < 16 or (256 % size and size % 128):
            raise ValueError(f"is {size}; the embedded world is drawn at 16, 32, 64, 128, 256 and multiples of 128")
        return size


class InstanceAnnotation(Section):
    """A mask and a category for every object."""

    name: Literal["instance"] = "instance"
    outlines: Literal["decoder", "grabcut"] = Field(
        default="decoder", description="grabcut: the P-Decoder's masks are moved to the edges of the picture"
    )


class SemanticAnnotation(Section):
    """A category for every pixel."""

    name: Literal["semantic"] = "semantic"
    unseen: Names = Field(
        default=(), description="Categories that the decoder is never shown, but asked for by name (open vocabulary)"
    )
    tail: Names = Field(default=(), description="Rare categories, whose figures are reported apart")
    min_certainty: Fraction = Field(default=0.0, description="Less certain synthetic pixels are ignored (255)")


class DepthAnnotation(Section):
    """Metric depth for every pixel."""

    name: Literal["depth"] = "depth"
    min_depth: float = Field(default=0.001, gt=0, description="Metres; nearer pixels are not evaluated")
    max_depth: float = Field(
        default=10.0,
        gt=0,
        le=FARTHEST,
        validate_default=True,
        description="Metres; farther pixels are neither learnt nor evaluated",
    )
    crop: Literal["none", "garg", "eigen"] = Field(default="none", description="Part of the image that is evaluated")

    @field_validator("max_depth")
    @classmethod
    def _beyond_min_depth(cls, farthest: float, info: ValidationInfo) -> float:
        nearest = info.data.get("min_depth")
        if nearest is not None and farthest <= nearest:
            raise ValueError(f"is {farthest:g}; it has to be above min_depth, which is {nearest:g}")
        return farthest


class PoseAnnotation(Section):
    """COCO's 17 keypoints for every person."""

    name: Literal["pose"] = "pose"


TaskSettings = Annotated[
    InstanceAnnotation | SemanticAnnotation | DepthAnnotation | PoseAnnotation, Field(discriminator="name")
]


Format = Literal["coco", "coco_pose", "lvis", "voc", "cityscapes", "deepfashion", "nyu", "kitti", "virtual_kitti"]
TASKS: dict[Format, str] = {  # what each layout holds annotations for
    "coco": "instance",
    "lvis": "instance",
    "coco_pose": "pose",
    "voc": "semantic",
    "cityscapes": "semantic",
    "deepfashion": "semantic",
    "nyu": "depth",
    "kitti": "depth",
    "virtual_kitti": "depth",
}


class Source(Section):
    """Where the real data lie, in their native layout."""

    format: Format
    root: Path
    miniworld: Miniworld | None = Field(
        default=None, description="Render this into `root` first; None: `root` is yours"
    )
    names: dict[str, Text] = Field(
        default={}, description="Category -> English noun, where the data set's own name says nothing in a prompt"
    )
    merge_same_names: bool = Field(
        default=False, description="Categories that read the same in a prompt are one; False: they are refused"
    )
    crowds: Literal["ignore", "as_objects"] = Field(
        default="ignore",
        description="Regions with `iscrowd: 1`. ignore: neither learnt nor counted as a miss, as COCO does; "
        "as_objects: objects as any others (CVAT exports painted masks with iscrowd: 1)",
    )

    @model_validator(mode="after")
    def _crowds_where_there_are_any(self) -> Self:
        if self.crowds != "ignore" and TASKS[self.format] not in ("instance", "pose"):
            raise ValueError(f"crowds: the format '{self.format}' has no crowd regions; leave the setting out")
        return self

    @field_validator("root", mode="before")
    @classmethod
    def _a_folder(cls, root: Any) -> Any:
        if isinstance(root, str) and not root.strip():
            raise ValueError("is an empty text; name the folder of the data set")
        return Path(root).expanduser() if isinstance(root, str) else root


class DataSource(Source):
    """The real data of a benchmark, and where the decoder's labelled images come from if not from there."""

    decoder: Source | None = Field(
        default=None, description="The decoder's labelled images, such as Virtual KITTI's dense depth for KITTI"
    )


class Ingest(Section):
    """Which images are taken: few-shot, dev, oracle, iid out of the training set; test is the validation set."""

    num_real: PositiveInt
    num_dev: PositiveInt
    num_oracle: int = Field(
        default=0,
        ge=0,
        description="Further training images, with their labels for the arm `oracle`, without for `pseudo` and "
        "`self_training`",
    )
    num_test: PositiveInt | None = Field(default=None, description="None: the whole validation set")
    num_iid: int = Field(
        default=0,
        ge=0,
        description="Training images that nothing else takes, as a second test set: the first may be of another kind",
    )
    max_lost: Fraction = Field(
        default=0.1,
        description="Share of a data set's objects that may be left out (crowds, boxes without masks, no area) before "
        "ingestion stops: they would be learnt and judged as background",
    )
    tail_images: PositiveInt | None = Field(
        default=None, description="Few-shot images of each category in `task.tail`; None: as many as of the others"
    )


class PromptNoise(Section):
    """Prompts in decoder training are varied, so that labels are not read off the text."""

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
                "together they have to be 1 at the most, and what is left of it are prompts as they are"
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
        description="Cached augmented views of each labelled image; None: new ones at every step, uncached",
    )
    train_timesteps: tuple[Timestep, Timestep] = Field(
        default=(1, 200), description="Noise levels of the views, inclusive"
    )
    timestep: Timestep = Field(default=50, description="Noise level at which features are read after training")
    noise_draws: PositiveInt = Field(default=1, description="Features averaged over so many noise draws when reading")
    prompt_noise: PromptNoise = PromptNoise()
    category_from_prompt: bool = Field(default=False, description="Classes absent from the prompt are ruled out")
    iterations: PositiveInt = 1000
    batch_size: PositiveInt = 8
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of the features' channels left out in training")
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
    """What is asked of the diffusion model."""

    num_prompts: PositiveInt
    plain_fraction: Fraction = Field(default=0.3, description="Share of plain 'a photo of a ...' prompts (paper: 30 %)")
    max_objects: PositiveInt = Field(default=4, description="Objects named in one prompt at the most")
    subjects: Names = Field(
        default=(), description="What is named; none: the data set's categories. For those that nobody can draw"
    )
    scenes: Annotated[tuple[Scene, ...], AfterValidator(_once_each)] = Field(
        default=(), description="Keys of prompts.scenes.SCENES; none: wherever a thing is"
    )
    seed: Seed = 0


class Synthesis(Section):
    """The synthetic set."""

    num_images: PositiveInt = Field(description="Images drawn (accepted or not); prompts are used in turn")
    num_inference_steps: int = Field(default=15, ge=1, le=1000)
    guidance_scale: float = Field(default=2.5, ge=1.0)
    guidance_rescale: Fraction = Field(default=0.0, description="Takes glaring colours back that guidance makes")
    scheduler: Literal["dpmsolver++", "ddim", "pndm", "model"] = Field(
        default="dpmsolver++", description="model: the folder's own"
    )
    extraction: Literal["renoised", "last_step"] = "renoised"
    score_threshold: Fraction = 0.4
    require_prompted: bool = Field(
        default=False,
        description="Images without a category that the prompt names, or with another number of objects, are rejected",
    )
    doubt_threshold: Fraction | None = Field(
        default=None,
        description="Images with an object whose score lies from here to score_threshold are rejected: left out of the "
        "annotation it would be learnt as background",
    )
    min_area: Fraction = Field(default=0.001, description="Smallest mask kept, as a share of the image")
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
        description="Grid 'rows x columns' -> weight, the paper's thousands"
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
                f"is {size}, which leaves {most} tiles side by side fewer than {SMALLEST_TILE} pixels each; "
                f"make it {most * SMALLEST_TILE} or more"
            )
        return size


class Downstream(Section):
    """The ordinary model that is trained on each arm."""

    model: Text = Field(
        description="A name of datasetdm.downstream: `MODELS` of detection, dense_models or pose_models"
    )
    pretrained: PathOrName | None = Field(
        default=None,
        description="Folder or hub name of the backbone's weights, `name@revision` to pin it; None: from scratch",
    )
    arms: Annotated[tuple[ArmName, ...], AfterValidator(_once_each)] = Field(default=MAIN_ARMS, min_length=1)
    p_decoder: bool = Field(
        default=False, description="Report the P-Decoder itself on the test images, beside the arms"
    )
    image_size: PositiveInt
    iterations: PositiveInt = Field(description="Steps of the optimiser")
    batch_size: PositiveInt = Field(default=8, description="Images that are in memory at once")
    accumulate: PositiveInt = Field(
        default=1, description="Batches whose gradients make one step, where memory does not hold as large a batch"
    )
    learning_rate: float = Field(gt=0)
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Iterations between checkpoints, from which a training that was cut off goes on"
    )
    autocast: bool = Field(
        default=True, description="Products in bfloat16 where the CPU has them and the (instance) model allows it"
    )
    real_weight: Fraction = Field(
        default=0.5, description="Share of real images in a batch of `both`, `real_augmented` and `self_training`"
    )
    self_training_threshold: Fraction = Field(
        default=0.5, description="What the teacher of `self_training` is less certain of is no label; choose it on dev"
    )
    score_threshold: Fraction = Field(default=0.05, description="Detections below it are not written")

    @property
    def num_batches(self) -> int:
        """That a training goes through."""
        return self.iterations * self.accumulate
