"""The detectors: configurations that mmdet ships, fitted to the number of classes and the image size.

Each function takes the settings and the number of classes. It returns plain data, ready for JSON and for
`build_network`; nothing in it downloads weights.
"""

import itertools
from typing import Any

from datasetdm import config
from datasetdm.downstream.model_spec import ModelSpec, by_name

ModelConfig = dict[str, Any]

STRIDE = 32  # the coarsest stride of the backbones; sides of an input are multiples


def canvas_side(image_size: int) -> int:
    """Side of the square that an image of that longer side is padded to, in pixels."""
    return -(-image_size // STRIDE) * STRIDE


def mask_rcnn_r18(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """Half the original's width, fewer regions and a slim mask head, whose cost would be most of an iteration."""
    model = _mask_rcnn("mask-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco", settings, num_classes)
    model["neck"]["out_channels"] = 128
    model["rpn_head"].update(in_channels=128, feat_channels=128)
    heads = model["roi_head"]
    heads["bbox_roi_extractor"]["out_channels"] = heads["mask_roi_extractor"]["out_channels"] = 128
    heads["bbox_head"].update(in_channels=128, fc_out_channels=512)
    heads["mask_head"].update(in_channels=128, num_convs=2, conv_out_channels=64)
    model["train_cfg"]["rpn_proposal"].update(nms_pre=500, max_per_img=200)
    model["train_cfg"]["rcnn"]["sampler"].update(num=64)
    model["test_cfg"]["rpn"].update(nms_pre=500, max_per_img=200)
    return model


def mask_rcnn_r50(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """Mask R-CNN (He et al., arXiv 1703.06870) as mmdet has it."""
    return _mask_rcnn("mask-rcnn_r50_fpn_1x_coco", settings, num_classes)


def solov2_r18(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """SOLOv2 (Wang et al., arXiv 2003.10152): half the width, a sixth of the cells, object sizes of a small image."""
    model = packaged_model("solov2/solov2-light_r18_fpn_ms-3x_coco", settings)
    head, shrink = model["mask_head"], settings.image_size / 800
    head["num_classes"] = num_classes
    head["scale_ranges"] = [[round(side * shrink) or 1 for side in sides] for sides in head["scale_ranges"]]
    head["num_grids"] = [16, 12, 10, 8, 6]
    model["neck"]["out_channels"] = head["in_channels"] = head["feat_channels"] = 128
    head["mask_feature_head"].update(feat_channels=64, out_channels=64)
    model["test_cfg"]["score_thr"] = settings.score_threshold
    return model


def condinst_r18(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """CondInst (Tian et al., arXiv 2003.05664) with ResNet-18, half width, and one level finer for small objects."""
    model = packaged_model("condinst/condinst_r50_fpn_ms-poly-90k_coco_instance", settings)
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
    return model


def mask2former_r50(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """Mask2Former (Cheng et al., arXiv 2112.01527) as mmdet has it."""
    return _mask2former("mask2former_r50_8xb2-lsj-50e_coco", settings, num_classes)


def mask2former_swin_b(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """With Swin-B instead of Swin-S. mmdet ships it for panoptic segmentation only; the widths are from there."""
    model = _mask2former("mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco", settings, num_classes)
    model["backbone"].update(
        pretrain_img_size=384, embed_dims=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12
    )
    model["panoptic_head"]["in_channels"] = [128, 256, 512, 1024]
    return model


def _mask_rcnn(packaged: str, settings: config.Downstream, num_classes: int) -> ModelConfig:
    model = packaged_model(f"mask_rcnn/{packaged}", settings)
    heads = model["roi_head"]
    heads["bbox_head"]["num_classes"] = heads["mask_head"]["num_classes"] = num_classes
    # Anchors of 8 strides are made for COCO's 800 pixels; in a small image the objects are small too.
    model["rpn_head"]["anchor_generator"]["scales"] = [min(8.0, max(3.0, settings.image_size / 64))]
    model["test_cfg"]["rcnn"]["score_thr"] = settings.score_threshold
    return model


def _mask2former(packaged: str, settings: config.Downstream, num_classes: int) -> ModelConfig:
    model = packaged_model(f"mask2former/{packaged}", settings)
    for head in ("panoptic_head", "panoptic_fusion_head"):
        model[head].update(num_things_classes=num_classes, num_stuff_classes=0)
    model["panoptic_head"]["loss_cls"]["class_weight"] = [1.0] * num_classes + [0.1]
    return model


def packaged_model(name: str, settings: config.Downstream) -> ModelConfig:
    """The model of a configuration that mmdet ships.

    Weights come from a local folder or not at all, and every layer learns: the packaged configurations freeze the stem
    and the batch statistics of a backbone that was pretrained on ImageNet.
    """
    from mmengine.hub import get_config

    model: ModelConfig = get_config(f"mmdet::{name}.py").model.to_dict()
    model["backbone"]["init_cfg"] = None
    if model["backbone"]["type"] == "ResNet":
        model["backbone"].update(frozen_stages=-1, norm_eval=False, norm_cfg={"type": "BN", "requires_grad": True})
    for padding in model["data_preprocessor"].get("batch_augments") or ():
        padding["size"] = [canvas_side(settings.image_size)] * 2
    return model


# ResNet-18 trains on a CPU; Mask2Former is what DatasetDM trains.
MODELS = by_name(
    ModelSpec("mask-rcnn_r18", ("instance",), mask_rcnn_r18, single_above=32),
    ModelSpec("mask-rcnn_r50", ("instance",), mask_rcnn_r50, single_above=64),
    ModelSpec("solov2_r18", ("instance",), solov2_r18, single_above=64, autocast=True),
    ModelSpec("condinst_r18", ("instance",), condinst_r18, single_above=64),
    ModelSpec("mask2former_r50", ("instance",), mask2former_r50, single_above=32),
    ModelSpec("mask2former_swin-b", ("instance",), mask2former_swin_b),
)
