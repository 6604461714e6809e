"""The settings: `params.yaml`, read and validated in this one place."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from datasetdm.errors import DatasetDMError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0)]
Timestep = Annotated[int, Field(ge=0, lt=1000)]
GRID = r"^([1-9]\d*)x([1-9]\d*)$"  # rows x columns
Arm = Literal["real", "synthetic", "both", "oracle", "real_augmented", "self_training", "pseudo"]


class Section(BaseModel):
    """A frozen block of `params.yaml`; an unknown key is an error, so that a typing mistake is found."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Backbone(Section):
    """The frozen text-to-image diffusion model."""

    path: str = Field(
        description="Folder in the diffusers pipeline format, or a hub name such as CompVis/stable-diffusion-v1-4"
    )
    revision: str | None = Field(default=None, description="Pinned hub revision (commit); None for a local folder")
    image_size: PositiveInt = Field(description="Side of the square images that the model draws, in pixels")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, ...")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    allow_unknown_words: bool = Field(
        default=False,
        description="Draw although the text encoder does not know words of it, and what is drawn is something else",
    )


class Miniworld(Section):
    """How much of the embedded world stands in for the real data set."""

    distribution: str = "coco"
    num_train: PositiveInt
    num_val: PositiveInt
    image_size: PositiveInt = 128
    seed: Seed = 0


class InstanceAnnotation(Section):
    """A mask and a category for every object."""

    name: Literal["instance"] = "instance"
    outlines: Literal["decoder", "grabcut"] = Field(
        default="decoder", description="grabcut: the P-Decoder's masks are moved to the edges of the picture"
    )


class SemanticAnnotation(Section):
    """A category for every pixel."""

    name: Literal["semantic"] = "semantic"
    unseen: tuple[str, ...] = Field(
        default=(), description="Categories that the decoder is never shown, but asked for by name (open vocabulary)"
    )
    tail: tuple[str, ...] = Field(default=(), description="Rare categories, whose figures are reported apart")
    min_certainty: Fraction = Field(default=0.0, description="Less certain synthetic pixels are ignored (255)")


class DepthAnnotation(Section):
    """Metric depth for every pixel."""

    name: Literal["depth"] = "depth"
    min_depth: float = Field(default=0.001, gt=0, description="Metres; nearer pixels are not evaluated")
    max_depth: float = Field(default=10.0, gt=0, description="Metres; farther pixels are neither learnt nor evaluated")
    crop: Literal["none", "garg", "eigen"] = Field(default="none", description="Part of the image that is evaluated")


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
    names: dict[str, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = Field(
        default={}, description="Category -> English noun, where the data set's own name says nothing in a prompt"
    )


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
    num_heads: PositiveInt = 8
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
            raise ValueError("the first has to be the lower one")
        return timesteps


class Prompts(Section):
    """What is asked of the diffusion model."""

    num_prompts: PositiveInt
    plain_fraction: Fraction = Field(default=0.3, description="Share of plain 'a photo of a ...' prompts (paper: 30 %)")
    max_objects: PositiveInt = Field(default=4, description="Objects named in one prompt at the most")
    subjects: tuple[str, ...] = Field(
        default=(), description="What is named; none: the data set's categories. For those that nobody can draw"
    )
    scenes: tuple[str, ...] = Field(default=(), description="Keys of prompts.scenes.SCENES; none: wherever a thing is")
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

    @model_validator(mode="after")
    def _doubt_below_trust(self) -> Self:
        if self.doubt_threshold is not None and self.doubt_threshold >= self.score_threshold:
            raise ValueError(f"doubt_threshold has to be below score_threshold ({self.score_threshold})")
        return self


class Augmentation(Section):
    """Image splicing."""

    num_images: int = Field(ge=0)
    proportions: dict[Annotated[str, StringConstraints(pattern=GRID)], float] = Field(
        description="Grid 'rows x columns' -> weight, the paper's thousands"
    )
    max_size: PositiveInt = Field(description="Longest side of a spliced image; larger grids shrink their tiles")
    seed: Seed = 0


class Downstream(Section):
    """The ordinary model that is trained on each arm."""

    model: str = Field(description="A name of datasetdm.downstream: `MODELS` of detection, dense_models or pose_models")
    pretrained: str | None = Field(
        default=None,
        description="Folder or hub name of the backbone's weights, `name@revision` to pin it; None: from scratch",
    )
    arms: tuple[Arm, ...] = Field(default=("real", "synthetic", "both", "oracle"), min_length=1)
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


class Benchmark(Section):
    """One row of the results table."""

    task: TaskSettings = Field(description="`instance`, or a block with a `name` and what the task leaves open")
    seeds: tuple[Seed, ...] = Field(min_length=1, description="Labelled subset and initialisation")
    source: DataSource
    ingest: Ingest
    decoder: Decoder
    prompts: Prompts
    synthesis: Synthesis
    augmentation: Augmentation
    downstream: Downstream

    @field_validator("task", mode="before")
    @classmethod
    def _task_by_name(cls, task: Any) -> Any:
        return {"name": task} if isinstance(task, str) else task

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Benchmark":
        for name, values in (("seeds", self.seeds), ("downstream.arms", self.downstream.arms)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} lists something twice")
        return self

    @model_validator(mode="after")
    def _task_fits_source(self) -> "Benchmark":
        for name, source in (("source", self.source), ("source.decoder", self.source.decoder)):
            if source is not None and TASKS[source.format] != self.task.name:
                raise ValueError(
                    f"{name}.format '{source.format}' holds annotations for the task '{TASKS[source.format]}', not "
                    f"for '{self.task.name}'"
                )
        return self

    @model_validator(mode="after")
    def _subjects_have_their_new_names(self) -> "Benchmark":
        names = self.source.names
        for subject in self.prompts.subjects:
            if subject in names and subject not in names.values():
                raise ValueError(f"prompts.subjects has '{subject}', which source.names calls '{names[subject]}'")
        return self

    @model_validator(mode="after")
    def _arms_have_what_they_need(self) -> "Benchmark":
        arms = self.downstream.arms
        for arm in ("oracle", "pseudo", "self_training"):
            if arm in arms and self.ingest.num_oracle == 0:
                raise ValueError(f"downstream.arms has '{arm}' but ingest.num_oracle is 0")
        if "self_training" in arms and "real" not in arms:
            raise ValueError("downstream.arms has 'self_training' but not 'real', whose model is its teacher")
        return self


def task_settings(description: Any) -> TaskSettings:
    """The section of a task from plain data, as it stands in the description of a trained decoder."""
    return TypeAdapter(TaskSettings).validate_python(description)


class Params(Section):
    """The whole of `params.yaml`."""

    backbone: Backbone
    benchmarks: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Benchmark] = Field(min_length=1)
    study: dict[str, Any] = Field(default_factory=dict, description="Laid over every benchmark by `make study`")

    def benchmark(self, name: str) -> Benchmark:
        """The block of benchmark `name`; a clear error where there is none."""
        try:
            return self.benchmarks[name]
        except KeyError:
            known = ", ".join(sorted(self.benchmarks))
            raise DatasetDMError(f"params.yaml has no benchmark '{name}'. It has: {known}.") from None


def load_params(path: Path | str = "params.yaml", *, study: bool = False) -> Params:
    """Read and validate the settings.

    Args:
        path: the YAML file.
        study: lay the block `study` over every benchmark (`make study`).

    Raises:
        DatasetDMError: the file is missing, is no YAML or has an unknown or wrong value.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_EveryKeyOnce)
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing: run this in the project's root folder.") from None
    except OSError as error:
        raise DatasetDMError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"{path} is no text in UTF-8: save it as such.") from None
    except yaml.YAMLError as error:
        raise DatasetDMError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DatasetDMError(f"{path} holds no settings; compare it with the one in the repository.")
    if study:
        content = _with_study(content)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise DatasetDMError(f"{path}: {_describe(error)}") from None


class _EveryKeyOnce(yaml.SafeLoader):
    """The safe loader, but for keys that a block has twice: of those it would silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The block as it stands in the file, before `<<` brings in what it may overrule."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"'{name}' stands there twice", problem_mark=key.start_mark)
            seen.add(name)
        return node


def _with_study(content: dict[str, Any]) -> dict[str, Any]:
    overlay = content.get("study") or {}
    benchmarks = content.get("benchmarks") or {}
    return {**content, "benchmarks": {name: _enlarged(block, overlay) for name, block in benchmarks.items()}}


def _enlarged(block: Any, overlay: Any) -> Any:
    """The block of a benchmark at study size; how much is rendered says nothing to one that has data of its own."""
    merged = _merged(block, overlay)
    if isinstance(block, dict) and isinstance(block.get("source"), dict) and "miniworld" not in block["source"]:
        merged["source"].pop("miniworld", None)
    return merged


def _merged(base: Any, overlay: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    return {**base, **{key: _merged(base.get(key), value) for key, value in overlay.items()}}


def _describe(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"'{where}' is not a setting (mistyped?)")
        elif item["type"] == "missing":
            lines.append(f"'{where}' is missing")
        else:
            lines.append(f"'{where}': {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines) + "."
