"""The settings of the synthetic images: their prompts, how they are sampled, which are kept, how they are spliced."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from datasetdm.config.base import Fraction, LocalPath, Names, Section, Seed, once_each
from datasetdm.config.language_model import LanguageModel
from datasetdm.config.selection import Selection

GRID = r"^([1-9]\d*)x([1-9]\d*)$"  # rows x columns
Scene = Literal["field", "street", "beach", "water", "snow", "room", "table"]
CHAINS = 3  # of tests, which share the error that `confidence` allows; see calibration/promise.py
SMALLEST_TILE = 4  # pixels; smallest side of a tile in a splice


class Prompts(Section):
    """The prompts for the diffusion model."""

    num_prompts: PositiveInt = Field(description="Rows in the table of prompts")
    plain_fraction: Fraction = Field(default=0.3, description="Share of plain 'a photo of a ...' prompts (paper: 30 %)")
    max_objects: PositiveInt = Field(default=4, description="Maximum number of objects in a prompt")
    min_objects: PositiveInt = Field(default=1, description="Minimum number of objects in a prompt, plain ones aside")
    companions: Literal["scenes", "real"] = Field(
        default="scenes",
        description="What shares a prompt: things of the same scene, or what stands together in the labelled images",
    )
    selection: Selection | None = Field(default=None, description="Choose the prompts out of more; null: take all")
    subjects: Names = Field(
        default=(), description="What prompts name, if the categories cannot be generated; empty: the categories"
    )
    scenes: Annotated[tuple[Scene, ...], AfterValidator(once_each)] = Field(
        default=(), description="Keys of prompts.scenes.SCENES; empty: wherever an object may be"
    )
    seed: Seed = Field(default=0, description="Another one writes other prompts")
    source: Literal["templates", "language_model", "files"] = Field(
        default="templates", description="Who writes the prompts (docs/prompts.md)"
    )
    language_model: LanguageModel | None = Field(
        default=None, validate_default=True, description="For source: language_model"
    )
    files: LocalPath | None = Field(
        default=None,
        validate_default=True,
        description="For source: files; a folder with `<category>.txt` and `general.txt`, a prompt a line",
    )

    @field_validator("language_model", "files")
    @classmethod
    def _source_has_its_block(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("source") == info.field_name:
            raise ValueError(f"is missing, but prompts.source is '{info.field_name}'")
        return value

    @field_validator("min_objects")
    @classmethod
    def _no_more_than_the_most(cls, least: int, info: ValidationInfo) -> int:
        most = info.data.get("max_objects")
        if most is not None and least > most:
            raise ValueError(f"is {least}, more than max_objects, which is {most}")
        return least

    @property
    def num_candidates(self) -> int:
        """How many prompts the source writes: `num_prompts`, or more to select from."""
        return self.num_prompts * (self.selection.candidates if self.selection else 1)

    @property
    def keeps_to_limit(self) -> bool:
        """Whether templates leave out what the text encoder could not read.

        Not with the settings that were there before the limit was looked at: other prompts would draw all images again.
        """
        return self.companions == "real" or self.min_objects > 1 or self.selection is not None


class Sampler(Section):
    """How the diffusion model samples an image: with model, prompt and seed, all that decides how it looks."""

    num_inference_steps: int = Field(default=15, ge=1, le=1000, description="Sampling steps of an image")
    guidance_scale: float = Field(
        default=2.5, ge=1.0, description="How closely an image follows its prompt; 1 is without guidance"
    )
    guidance_rescale: Fraction = Field(default=0.0, description="Reduces the glaring colours of high guidance")
    scheduler: Literal["dpmsolver++", "ddim", "pndm", "model"] = Field(
        default="dpmsolver++", description="model: the scheduler in the model's folder"
    )


class MinAgreement(Section):
    """Lowest agreements with which an image is kept; 0 asks for none."""

    flip: Fraction = Field(default=0.0, description="Of the readings of image and mirror image; needs reading.flip")
    timestep: Fraction = Field(
        default=0.0, description="Of the readings at several noise levels; needs reading.timesteps"
    )
    attention: Fraction = Field(
        default=0.0, description="Of the decoder's reading and that of the attention; needs reading.attention"
    )
    count: Fraction = Field(default=0.0, description="Of the objects with the numbers that the prompt gives")

    @model_serializer(mode="wrap")
    def _as_before_attention_was_read(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records without it stay what they were."""
        content: dict[str, Any] = serialize(self)
        return content if self.attention else {k: v for k, v in content.items() if k != "attention"}


class Filter(Section):
    """Which predicted annotations become training data."""

    score_threshold: Fraction = Field(default=0.4, description="Lowest score of an object, or of a whole semantic map")
    target_precision: Fraction | None = Field(
        default=None,
        description="Choose the threshold on dev, so that at least this share of the labels is right, instead of "
        "`score_threshold` (docs/labels.md)",
    )
    confidence: Fraction = Field(
        default=0.9, description="How surely `target_precision` has to hold, given that dev has only so many images"
    )
    require_prompted: bool = Field(
        default=False,
        description="Reject images that lack a category of the prompt, or have another number of its objects",
    )
    doubt_threshold: Fraction | None = Field(
        default=None,
        description="Reject images with an object whose score is between this and score_threshold: it would be missing "
        "from the labels and learned as background",
    )
    ignore_threshold: Fraction | None = Field(
        default=None,
        description="Objects with a score between this and score_threshold become regions that are neither learnt nor "
        "evaluated (COCO's iscrowd), instead of background; downstream.hide_ignored makes detectors heed them",
    )
    min_agreement: MinAgreement | None = Field(
        default=None, description="Reject images whose readings (decoder.reading) do not agree; null: none"
    )
    min_area: Fraction = Field(default=0.001, description="Smallest mask to keep, as a share of the image")
    max_instances: PositiveInt = Field(
        default=20, description="Objects kept in an image, those with the highest scores"
    )

    @property
    def fewest_tested(self) -> int:
        """How many dev images have to pass, all without an error, before `target_precision` can be promised."""
        if self.target_precision is None:
            return 0
        return math.ceil(math.log((1 - self.confidence) / CHAINS) / math.log(self.target_precision))

    @field_validator("target_precision", "confidence")
    @classmethod
    def _no_certainty(cls, share: float | None) -> float | None:
        if share in (0, 1):
            raise ValueError(f"is {share:g}; it has to be between 0 and 1, because nothing is certain")
        return share

    @model_serializer(mode="wrap")
    def _as_before_there_were_promises(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not used is not listed, so that records of sets with a threshold set by hand stay what they were."""
        content: dict[str, Any] = serialize(self)
        unused = ["target_precision", "confidence"] if self.target_precision is None else ["score_threshold"]
        unused += [name for name in ("ignore_threshold", "min_agreement") if getattr(self, name) is None]
        return {name: value for name, value in content.items() if name not in unused}

    @field_validator("doubt_threshold", "ignore_threshold")
    @classmethod
    def _doubt_below_trust(cls, doubt: float | None, info: ValidationInfo) -> float | None:
        trust = info.data.get("score_threshold") if info.data.get("target_precision") is None else None
        if doubt is not None and trust is not None and doubt >= trust:
            raise ValueError(f"is {doubt:g}; it has to be below score_threshold, which is {trust:g}")
        return doubt


class CrossValidation(Section):
    """Leaves out drawn images whose labels disagree with a model that learnt from the other ones (DiffuMask)."""

    folds: int = Field(
        default=3, ge=2, description="Parts of the set; a model learns from all but one, and judges that"
    )
    reject: Fraction = Field(default=0.2, description="Share of the accepted images that is left out, the worst")
    iterations: PositiveInt | None = Field(
        default=None, description="Steps of the optimiser for each part; None: a quarter of downstream.iterations"
    )


class NeedWeights(Section):
    """How much each sign of need counts for the prompts of the next round. Only their ratios matter."""

    weakness: float = Field(default=1.0, ge=0, description="What the downstream model is bad at on dev")
    rejection: float = Field(default=0.25, ge=0, description="What the filters reject")
    uncertainty: float = Field(default=0.25, ge=0, description="Where the P-Decoder's scores are low")

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not (self.weakness or self.rejection or self.uncertainty):
            raise ValueError("weakness, rejection and uncertainty are all 0: give at least one of them a weight")
        return self


class Feedback(Section):
    """How the prompts of a round follow from the results of the rounds before it."""

    iterations: PositiveInt | None = Field(
        default=None,
        description="Steps of the optimiser in the training after each round; None: a quarter of downstream.iterations",
    )
    weights: NeedWeights = Field(default=NeedWeights(), description="How much each sign of need counts")
    strength: float = Field(
        default=3.0, ge=0, le=20, description="How sharply needed prompts are preferred; 0 draws all of them alike"
    )
    floor: Fraction = Field(default=0.2, description="Share of a round that is spread evenly over all prompts")
    shrinkage: float = Field(
        default=10.0,
        ge=0,
        description="Pulls slices of few images or objects towards the mean, as if they had so many average ones more",
    )


class Synthesis(Section):
    """The synthetic set."""

    num_images: PositiveInt = Field(description="Images to generate, accepted or not; prompts are used in turn")
    rounds: PositiveInt = Field(
        default=1, description="Draw num_images in so many rounds; after each, `feedback` chooses the next prompts"
    )
    seed: Seed = Field(default=0, description="Another one draws other images")
    extraction: Literal["renoised", "last_step"] = Field(
        default="renoised",
        description="Features for the labels. renoised: noise is added to the image again, as in decoder training; "
        "last_step: from the last sampling step, as in the paper",
    )
    batch_size: PositiveInt = Field(
        default=8, description="Images generated at once; it decides the last bits of an image"
    )
    shard_size: PositiveInt = Field(default=50, description="Images per unit of work")
    sampler: Sampler = Field(default=Sampler(), description="How an image is sampled")
    # `filter` has no default, because dvc.yaml refers to it and DVC stops if params.yaml does not have it.
    filter: Filter = Field(description="Which labels become training data")
    feedback: Feedback = Field(
        default=Feedback(), description="How results choose the next prompts, if there are several rounds"
    )
    cross_validation: CrossValidation | None = Field(
        default=None, description="Leave out images whose labels other images contradict; null: none"
    )

    @field_validator("rounds")
    @classmethod
    def _an_image_in_every_round(cls, rounds: int, info: ValidationInfo) -> int:
        images = info.data.get("num_images")
        if images is not None and rounds > images:
            raise ValueError(f"is {rounds}, more than the images of num_images, which is {images}")
        return rounds

    @model_serializer(mode="wrap")
    def _as_before_there_were_rounds(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without rounds these settings change nothing, so records of what was made do not list them."""
        content: dict[str, Any] = serialize(self)
        unused = [] if self.rounds > 1 else ["rounds", "feedback"]
        unused += ["cross_validation"] if self.cross_validation is None else []
        return {name: value for name, value in content.items() if name not in unused}

    @field_validator("cross_validation")
    @classmethod
    def _all_images_at_once(cls, value: CrossValidation | None, info: ValidationInfo) -> CrossValidation | None:
        if value is not None and info.data.get("rounds", 1) > 1:
            raise ValueError("judges a set that is drawn at once: set rounds to 1, or remove cross_validation")
        return value


class Augmentation(Section):
    """Image splicing."""

    num_images: int = Field(ge=0, description="Spliced images; 0 makes none")
    proportions: dict[Annotated[str, StringConstraints(pattern=GRID)], Annotated[float, Field(gt=0)]] = Field(
        description="Grid 'rows x columns' -> weight"
    )
    max_size: PositiveInt = Field(description="Longest side of a spliced image; larger grids shrink their tiles")
    seed: Seed = Field(default=0, description="Another one splices other images")

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
