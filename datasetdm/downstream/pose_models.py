"""The pose networks: ViTPose (arXiv 2204.12484) in three sizes, on crops of single persons."""

from dataclasses import dataclass
from pathlib import Path

from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from datasetdm import config
from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.downstream import check_limits
from datasetdm.downstream.weights import read_weights, refuse
from datasetdm.errors import DatasetDMError

CELLS_PER_PATCH = 4  # along a side; both heads enlarge fourfold


@dataclass(frozen=True)
class ModelSpec:
    """A selectable model.

    Attributes:
        patch_size: side of a patch in pixels.
        hidden_size: width of the transformer.
        num_layers: its depth.
        num_heads: of its attention.
        simple_head: one convolution on enlarged features; otherwise the authors' two deconvolutions.
    """

    patch_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    simple_head: bool


MODELS: dict[str, ModelSpec] = {
    "vitpose_tiny": ModelSpec(patch_size=8, hidden_size=128, num_layers=6, num_heads=4, simple_head=True),
    "vitpose_small": ModelSpec(patch_size=16, hidden_size=384, num_layers=12, num_heads=12, simple_head=False),
    "vitpose_base": ModelSpec(patch_size=16, hidden_size=768, num_layers=12, num_heads=12, simple_head=False),
}


def crop_size(image_size: int) -> tuple[int, int]:
    """(height, width) of a person's crop, upright at 4 : 3 as usual."""
    return image_size, image_size * 3 // 4


def model_config(settings: config.Downstream) -> VitPoseConfig:
    """The model of the settings, for crops of `crop_size(settings.image_size)`.

    Raises:
        DatasetDMError: no model has that name, or the crop is not made up of whole patches.
    """
    if settings.model not in MODELS:
        raise DatasetDMError(
            f"params.yaml: downstream.model '{settings.model}' is unknown. There are: {', '.join(MODELS)}."
        )
    spec = MODELS[settings.model]
    check_limits(settings)
    backbone = VitPoseBackboneConfig(
        image_size=list(crop_size(settings.image_size)),
        patch_size=[spec.patch_size, spec.patch_size],
        hidden_size=spec.hidden_size,
        num_hidden_layers=spec.num_layers,
        num_attention_heads=spec.num_heads,
        out_indices=[spec.num_layers],
    )
    return VitPoseConfig(
        backbone_config=backbone,
        scale_factor=CELLS_PER_PATCH,
        use_simple_decoder=spec.simple_head,
        num_labels=len(KEYPOINTS),
    )


def heatmap_size(model: VitPoseConfig) -> tuple[int, int]:
    """(height, width) of the heatmaps that a model draws."""
    backbone = model.backbone_config
    height, width = (
        CELLS_PER_PATCH * side // patch for side, patch in zip(backbone.image_size, backbone.patch_size, strict=True)
    )
    return height, width


def load_backbone(network: VitPoseForPoseEstimation, file: Path) -> None:
    """Fill the transformer with the weights of a file in the ViTPose format; the head stays as it is.

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    prefix = "backbone."
    state = {name.removeprefix(prefix): value for name, value in read_weights(file).items() if name.startswith(prefix)}
    own = network.backbone.state_dict()
    misfits = [name for name in own if name not in state or state[name].shape != own[name].shape]
    if misfits:
        raise refuse(file, misfits)
    network.backbone.load_state_dict({name: state[name] for name in own})
