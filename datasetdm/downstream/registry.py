"""The downstream models by name.

All that is said here is known without importing mmdet or transformers, which takes seconds: wrong settings are found
at the start of a run, and the stages that train nothing do without the frameworks.
"""

import math
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from datasetdm import config
from datasetdm.errors import DatasetDMError


@dataclass(frozen=True)
class ModelSpec:
    """A model that `downstream.model` can name.

    Attributes:
        name: its name.
        tasks: names of the tasks that it serves.
        architecture: `module:function` below `datasetdm.downstream`. The function takes the settings and the number of
            outputs (classes, channels or keypoints), and returns the configuration that the network is built from.
        size_multiple: the image size has to be a multiple of it.
        single_above: batches of one image are possible above this image size. Batch normalisation learns nothing from
            a single value, and that is what the coarsest map (stride 32) of a single small view has. UperNet
            normalises the mean of its image, which is a single value at any size. Detectors that do not pad a batch
            to a fixed size also see images at half size.
        autocast: whether it can be trained in bfloat16. mmcv's own operators (RoIAlign and others) do not support it.
    """

    name: str
    tasks: tuple[str, ...]
    architecture: str
    size_multiple: int = 1
    single_above: float = 0
    autocast: bool = False

    def build(self, settings: config.Downstream, num_outputs: int) -> Any:
        """The configuration of the network, as its framework has it."""
        return resolve_name(f"datasetdm.downstream.{self.architecture}")(settings, num_outputs)

    def check(self, settings: config.Downstream) -> None:
        """DatasetDMError where the model cannot be trained with these settings; it names every problem."""
        problems = [problem for problem in (self._size_problem(settings), self._batch_problem(settings)) if problem]
        if problems:
            raise DatasetDMError("\n".join(f"params.yaml: {problem}" for problem in problems))

    def _size_problem(self, settings: config.Downstream) -> str | None:
        size, multiple = settings.image_size, self.size_multiple
        if size % multiple == 0:
            return None
        below, above = size // multiple * multiple, -(-size // multiple) * multiple
        return (
            f"downstream.image_size is {size}, the height of a person's crop, and has to be a multiple of {multiple} "
            f"for {self.name}, so that height and width (three quarters) hold whole patches: "
            f"set it to {above}{f' or {below}' if below else ''}."
        )

    def _batch_problem(self, settings: config.Downstream) -> str | None:
        if settings.batch_size > 1 or settings.image_size > self.single_above:
            return None
        larger = "" if math.isinf(self.single_above) else f", or downstream.image_size above {self.single_above}"
        return (
            f"downstream.batch_size is 1, but the batch normalisation of {self.name} needs at least two images: "
            f"set it to 2{larger}. (downstream.accumulate makes a step of several batches where memory is short.)"
        )


MODELS = (
    # Detectors of mmdet. ResNet-18 trains on a CPU; Mask2Former is what DatasetDM trains.
    ModelSpec("mask-rcnn_r18", ("instance",), "detection.architectures:mask_rcnn_r18", single_above=32),
    ModelSpec("mask-rcnn_r50", ("instance",), "detection.architectures:mask_rcnn_r50", single_above=64),
    ModelSpec("solov2_r18", ("instance",), "detection.architectures:solov2_r18", single_above=64, autocast=True),
    ModelSpec("condinst_r18", ("instance",), "detection.architectures:condinst_r18", single_above=64),
    ModelSpec("mask2former_r50", ("instance",), "detection.architectures:mask2former_r50", single_above=32),
    ModelSpec("mask2former_swin-b", ("instance",), "detection.architectures:mask2former_swin_b"),
    # Dense networks of transformers. `upernet_r18` learns within a minute on a CPU; the others have the sizes of their
    # papers. DatasetDM trains Mask2Former for semantic segmentation, and takes Swin-L as the backbone for depth.
    ModelSpec("upernet_r18", ("semantic", "depth"), "dense.architectures:upernet_r18", single_above=math.inf),
    ModelSpec("upernet_swin-l", ("semantic", "depth"), "dense.architectures:upernet_swin_l", single_above=math.inf),
    ModelSpec("segformer_b0", ("semantic", "depth"), "dense.architectures:segformer_b0"),
    ModelSpec("mask2former_r50", ("semantic",), "dense.architectures:mask2former_r50", single_above=32),
    ModelSpec("mask2former_swin-b", ("semantic",), "dense.architectures:mask2former_swin_b"),
    ModelSpec("glpn_small", ("depth",), "dense.architectures:glpn_small"),
    ModelSpec("glpn_nyu", ("depth",), "dense.architectures:glpn_nyu"),
    # ViTPose of transformers: height and width of a crop are whole patches of 8 or 16 pixels.
    ModelSpec("vitpose_tiny", ("pose",), "pose.architectures:vitpose_tiny", size_multiple=32),
    ModelSpec("vitpose_small", ("pose",), "pose.architectures:vitpose_small", size_multiple=64),
    ModelSpec("vitpose_base", ("pose",), "pose.architectures:vitpose_base", size_multiple=64),
)


def models_of(task: str) -> list[ModelSpec]:
    """The models that serve a task."""
    return [spec for spec in MODELS if task in spec.tasks]


def find_model(task: str, name: str) -> ModelSpec:
    """The model of that name for a task.

    Raises:
        DatasetDMError: there is none; the message lists the models of the task.
    """
    found = {spec.name: spec for spec in models_of(task)}
    if name not in found:
        raise DatasetDMError(
            f"params.yaml: downstream.model '{name}' is not a model for the task {task}. Choose one of: "
            f"{', '.join(found)}."
        )
    return found[name]
