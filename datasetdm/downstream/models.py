"""The detectors: configurations that mmdet ships, fitted to classes and image size."""

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.models.backbones.swin import swin_converter
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from torch import nn

from datasetdm import config
from datasetdm.downstream.weights import read_weights, refuse
from datasetdm.errors import DatasetDMError

ModelConfig = dict[str, Any]

STRIDE = 32  # the coarsest stride of the backbones; sides of an input are multiples


def canvas_side(image_size: int) -> int:
    """Side of the square that an image of that longer side is padded to, in pixels."""
    return -(-image_size // STRIDE) * STRIDE


@dataclass(frozen=True)
class ModelSpec:
    """A selectable model.

    Attributes:
        packaged: name of the configuration as mmdet ships it.
        adapt: changes the model part of it in place; takes (model, number of classes, settings).
        autocast: whether it can be trained in bfloat16, which mmcv's own operators (RoIAlign and others) do not know.
    """

    packaged: str
    adapt: Callable[[ModelConfig, int, config.Downstream], None]
    autocast: bool = False


def _adapt_mask_rcnn(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    heads = model["roi_head"]
    heads["bbox_head"]["num_classes"] = heads["mask_head"]["num_classes"] = num_classes
    # Anchors of 8 strides are made for COCO's 800 pixels; in a small image the objects are small too.
    model["rpn_head"]["anchor_generator"]["scales"] = [min(8.0, max(3.0, settings.image_size / 64))]
    model["test_cfg"]["rcnn"]["score_thr"] = settings.score_threshold


def _adapt_light_mask_rcnn(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    """Half the original's width, fewer regions and a slim mask head, whose cost would be most of an iteration."""
    _adapt_mask_rcnn(model, num_classes, settings)
    model["neck"]["out_channels"] = 128
    model["rpn_head"].update(in_channels=128, feat_channels=128)
    heads = model["roi_head"]
    heads["bbox_roi_extractor"]["out_channels"] = heads["mask_roi_extractor"]["out_channels"] = 128
    heads["bbox_head"].update(in_channels=128, fc_out_channels=512)
    heads["mask_head"].update(in_channels=128, num_convs=2, conv_out_channels=64)
    model["train_cfg"]["rpn_proposal"].update(nms_pre=500, max_per_img=200)
    model["train_cfg"]["rcnn"]["sampler"].update(num=64)
    model["test_cfg"]["rpn"].update(nms_pre=500, max_per_img=200)


def _adapt_solov2(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    """Half the width, object sizes brought from 800 pixels to those of the image, and a sixth of the cells."""
    head, shrink = model["mask_head"], settings.image_size / 800
    head["num_classes"] = num_classes
    head["scale_ranges"] = [[round(side * shrink) or 1 for side in sides] for sides in head["scale_ranges"]]
    head["num_grids"] = [16, 12, 10, 8, 6]
    model["neck"]["out_channels"] = head["in_channels"] = head["feat_channels"] = 128
    head["mask_feature_head"].update(feat_channels=64, out_channels=64)
    model["test_cfg"]["score_thr"] = settings.score_threshold


def _adapt_condinst(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    """ResNet-18, half the width, and one level finer: in a small image the objects are small too."""
    model["backbone"]["depth"] = 18
    model["neck"].update(in_channels=[64, 128, 256, 512], out_channels=128, start_level=0)
    shrink = settings.image_size / 1000
    borders = [-1, *(round(side * shrink) for side in (128, 256, 512, 1024)), 10**8]
    model["bbox_head"].update(
        num_classes=num_classes,
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        strides=[4, 8, 16, 32, 64],
        regress_ranges=list(itertools.pairwise(borders)),
    )
    model["mask_head"]["mask_feature_head"].update(
        in_channels=128, feat_channels=64, num_stacked_convs=2, mask_stride=4
    )
    model["test_cfg"]["score_thr"] = settings.score_threshold


def _adapt_mask2former(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    for head in ("panoptic_head", "panoptic_fusion_head"):
        model[head].update(num_things_classes=num_classes, num_stuff_classes=0)
    model["panoptic_head"]["loss_cls"]["class_weight"] = [1.0] * num_classes + [0.1]


def _adapt_swin_b(model: ModelConfig, num_classes: int, settings: config.Downstream) -> None:
    """mmdet ships Swin-B for panoptic segmentation alone; these are the widths of that configuration."""
    _adapt_mask2former(model, num_classes, settings)
    model["backbone"].update(
        pretrain_img_size=384, embed_dims=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12
    )
    model["panoptic_head"]["in_channels"] = [128, 256, 512, 1024]


MODELS: dict[str, ModelSpec] = {
    "mask-rcnn_r18": ModelSpec("mask_rcnn/mask-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco", _adapt_light_mask_rcnn),
    "mask-rcnn_r50": ModelSpec("mask_rcnn/mask-rcnn_r50_fpn_1x_coco", _adapt_mask_rcnn),
    "solov2_r18": ModelSpec("solov2/solov2-light_r18_fpn_ms-3x_coco", _adapt_solov2, autocast=True),
    "condinst_r18": ModelSpec("condinst/condinst_r50_fpn_ms-poly-90k_coco_instance", _adapt_condinst),
    "mask2former_r50": ModelSpec("mask2former/mask2former_r50_8xb2-lsj-50e_coco", _adapt_mask2former),
    "mask2former_swin-b": ModelSpec("mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco", _adapt_swin_b),
}


def model_config(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """The model of the settings as plain data (JSON-ready), for `build_model`; nothing in it downloads weights.

    Raises:
        DatasetDMError: no model has that name.
    """
    if settings.model not in MODELS:
        raise DatasetDMError(
            f"params.yaml: downstream.model '{settings.model}' is unknown. There are: {', '.join(MODELS)}."
        )
    spec = MODELS[settings.model]
    model = get_config(f"mmdet::{spec.packaged}.py").model.to_dict()
    # Weights come from a local folder or not at all, and every layer learns: the packaged configurations
    # freeze the stem and the batch statistics of a backbone that has seen ImageNet.
    model["backbone"]["init_cfg"] = None
    if model["backbone"]["type"] == "ResNet":
        model["backbone"].update(frozen_stages=-1, norm_eval=False, norm_cfg={"type": "BN", "requires_grad": True})
    for padding in model["data_preprocessor"].get("batch_augments") or ():
        padding["size"] = [canvas_side(settings.image_size)] * 2
    spec.adapt(model, num_classes, settings)
    return model


def build_model(description: ModelConfig) -> BaseDetector:
    """A detector whose weights are not initialised yet (`init_weights` does)."""
    register_all_modules()
    return MMDET_MODELS.build(ConfigDict(description))


def load_backbone(model: BaseDetector, file: Path) -> None:
    """Fill the detector's backbone with the weights of a safetensors file; a classifier on top is left out.

    ResNets are named as in torchvision (`conv1.weight`, `layer1.0.bn1.running_mean`, ...), Swin Transformers
    as in transformers, whose hub models fit as they are, or as in their authors' release
    (`layers.0.blocks.0.attn.qkv.weight`, ...).

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    state = read_weights(file)
    if any(".attention.self.query." in name for name in state):
        state = authors_swin(state)
    if any(name.startswith("layers.") for name in state):
        state = {name.removeprefix("backbone."): value for name, value in swin_converter(state).items()}
    misfits = _misfits(model.backbone, state)
    if misfits:
        raise refuse(file, misfits)
    model.backbone.load_state_dict(state, strict=False)


#: What transformers calls the parts of a Swin Transformer, and what its authors do; in the order of replacement.
_AUTHORS_NAMES = {
    r"^(swin\.)?embeddings\.patch_embeddings\.projection\.": "patch_embed.proj.",
    r"^(swin\.)?embeddings\.norm\.": "patch_embed.norm.",
    r"^(swin\.)?encoder\.": "",
    r"\.attention\.self\.query\.": ".attn.qkv.",
    r"\.attention\.self\.": ".attn.",
    r"\.attention\.output\.dense\.": ".attn.proj.",
    r"\.layernorm_before\.": ".norm1.",
    r"\.layernorm_after\.": ".norm2.",
    r"\.intermediate\.dense\.": ".mlp.fc1.",
    r"\.output\.dense\.": ".mlp.fc2.",
}


def authors_swin(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of transformers' Swin Transformer, named and arranged as its authors do, whom mmdet understands."""
    renamed = {}
    for name, value in state.items():
        if re.search(r"\.self\.(key|value)\.", name):
            continue  # comes with the query
        if ".self.query." in name:
            value = torch.cat([state[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")])
        for theirs, authors in _AUTHORS_NAMES.items():
            name = re.sub(theirs, authors, name)
        renamed[name] = value
    return renamed


def _misfits(backbone: nn.Module, state: dict[str, torch.Tensor]) -> list[str]:
    """Names of the backbone's tensors that are missing in `state` or have another shape there."""
    return [
        name
        for name, tensor in backbone.state_dict().items()
        if (name in state and state[name].shape != tensor.shape) or (name not in state and not _is_optional(name))
    ]


def _is_optional(name: str) -> bool:
    """Counters and index tables are no weights; norms on its outputs a Swin has in detectors alone."""
    return name.endswith(("num_batches_tracked", "relative_position_index")) or name.startswith("norm")
