"""The settings of the tasks: what an annotation consists of."""

from pkgutil import resolve_name
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from datasetdm.config.base import BACKGROUND, Fraction, Names, Section
from datasetdm.task_parts import TASKS

Outlines = Literal["decoder", "grabcut"]
FARTHEST = (2**16 - 1) / 256  # metres; the largest depth that a PNG in KITTI's units can hold


class TaskSection(Section):
    """The settings of a task. `TASKS` has the section of each.

    Attributes:
        finds_categories: whether its annotations have categories that a prompt can name.
    """

    finds_categories: ClassVar[bool] = True
    name: str = Field(description="Which task it is")


class InstanceAnnotation(TaskSection):
    """A mask and a category for every object."""

    name: Literal["instance"] = Field(default="instance", description="Which task it is")
    outlines: Outlines = Field(
        default="decoder", description="grabcut: move the outlines of the P-Decoder's masks to edges in the image"
    )
    outline_rounds: PositiveInt = Field(
        default=1, description="How often `grabcut` starts over from the outline that it found"
    )

    @model_serializer(mode="wrap")
    def _as_before_there_were_rounds(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With a single round, records of what was made do not list it."""
        content: dict[str, Any] = serialize(self)
        return content if self.outline_rounds > 1 else {k: v for k, v in content.items() if k != "outline_rounds"}


class SemanticAnnotation(TaskSection):
    """A category for every pixel."""

    name: Literal["semantic"] = Field(default="semantic", description="Which task it is")
    unseen: Names = Field(
        default=(), description="Categories without training labels, which the decoder finds by name (open vocabulary)"
    )
    tail: Names = Field(default=(), description="Rare categories, reported separately")
    outlines: Outlines = Field(
        default="decoder", description="grabcut: move the outlines of the regions to edges in the image"
    )
    min_certainty: Fraction = Field(default=0.0, description="Synthetic pixels below this confidence are ignored (255)")

    @model_serializer(mode="wrap")
    def _as_before_there_were_outlines(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records of maps with the decoder's own outlines stay what they were."""
        content: dict[str, Any] = serialize(self)
        return content if self.outlines != "decoder" else {k: v for k, v in content.items() if k != "outlines"}

    @field_validator("unseen")
    @classmethod
    def _prompts_can_name_them(cls, unseen: tuple[str, ...]) -> tuple[str, ...]:
        if BACKGROUND in unseen:
            raise ValueError(f"has '{BACKGROUND}', which no prompt names: remove it")
        return unseen


class DepthAnnotation(TaskSection):
    """Metric depth for every pixel."""

    finds_categories: ClassVar[bool] = False
    name: Literal["depth"] = Field(default="depth", description="Which task it is")
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

    name: Literal["pose"] = Field(default="pose", description="Which task it is")


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
