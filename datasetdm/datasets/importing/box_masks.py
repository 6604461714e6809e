"""Masks for boxes, by a model of the SAM family ("Segment Anything", arXiv 2304.02643) from transformers."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from transformers import AutoModelForMaskGeneration, AutoProcessor

from datasetdm.datasets.importing.contents import Contents, Picture, Shape
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.standard.masks import encode_mask
from datasetdm.errors import DatasetDMError
from datasetdm.utils.devices import choose_device
from datasetdm.utils.hub import hub_answers, is_hub_name
from datasetdm.utils.images import read_image
from datasetdm.utils.progress import Progress

log = logging.getLogger(__name__)

_AGREEMENT = 0.5  # IoU of the mask's own box with the given one, below which the mask is of something else
_PORTION = 32  # boxes that the model sees at once


class BoxSegmenter:
    """A promptable segmentation model.

    Args:
        name: a hub name, such as `facebook/sam-vit-base`, or a folder with its files.
        device: auto, cpu, cuda, ...

    Raises:
        DatasetDMError: it cannot be loaded, or is of another kind.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        options = {"local_files_only": is_hub_name(name) and not hub_answers()}
        try:
            # Weights as safetensors alone: other files may be pickles, which run code.
            self.processor = AutoProcessor.from_pretrained(name, **options)
            self.model = AutoModelForMaskGeneration.from_pretrained(name, use_safetensors=True, **options).eval()
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise DatasetDMError(
                f"--sam {name} cannot be loaded as a model for mask generation ({' '.join(str(error).split())[:300]}). "
                "Name a model of transformers such as facebook/sam-vit-base, or the folder of one with config.json, "
                "model.safetensors and preprocessor_config.json. SAM 2 also needs torchvision."
            ) from None
        self.device = choose_device(device)
        self.model.to(self.device)

    @torch.no_grad()
    def masks(self, image: np.ndarray, boxes: Sequence[Sequence[float]]) -> list[np.ndarray]:
        """A mask (bool, H x W) for each box (x, y, width, height in pixels) of an image (uint8, H x W x 3)."""
        found: list[np.ndarray] = []
        for start in range(0, len(boxes), _PORTION):
            corners = [[x, y, x + width, y + height] for x, y, width, height in boxes[start : start + _PORTION]]
            inputs = self.processor(images=image, input_boxes=[corners], return_tensors="pt").to(self.device)
            outputs = self.model(**inputs, multimask_output=False)
            found += [mask[0].numpy().astype(bool) for mask in self._upright(outputs, inputs)]
        return found

    def _upright(self, outputs: Any, inputs: Any) -> torch.Tensor:
        """Masks at the image's size, boxes x 1 x H x W."""
        masks = outputs.pred_masks.float().cpu()
        sizes = [inputs["original_sizes"].cpu()]
        if "reshaped_input_sizes" in inputs:  # the first SAM pads the image to a square
            sizes.append(inputs["reshaped_input_sizes"].cpu())
        (upright,) = self.processor.post_process_masks(masks, *sizes)
        return upright


def segment_boxes(contents: Contents, model: BoxSegmenter, findings: Findings) -> Contents:
    """The contents in which boxes without masks have the model's masks.

    A mask that does not fill its box is of something else: such an object keeps its box alone.
    """
    bare = sum(_is_bare(shape) for picture in contents.pictures for shape in picture.shapes)
    progress, done = Progress(bare, "boxes segmented"), 0
    pictures = []
    for picture in contents.pictures:
        boxes = [shape.box or () for shape in picture.shapes if _is_bare(shape)]
        if boxes:
            masks = iter(model.masks(read_image(picture.file), boxes))
            shapes = (_filled(shape, masks, picture, findings) for shape in picture.shapes)
            picture = replace(picture, shapes=tuple(shapes))
            progress.update(done := done + len(boxes))
        pictures.append(picture)
    return replace(contents, pictures=tuple(pictures))


def _is_bare(shape: Shape) -> bool:
    return shape.segmentation is None and shape.box is not None and not shape.crowd


def _filled(shape: Shape, masks: Any, picture: Picture, findings: Findings) -> Shape:
    if not _is_bare(shape):
        return shape
    rle = encode_mask(next(masks))
    own = [float(side) for side in coco_mask.toBbox(rle)]
    agreement = coco_mask.iou([own], [list(map(float, shape.box or ()))], [0])[0][0]
    if agreement < _AGREEMENT:
        findings.odd("boxes got a mask that does not fill them, which is not used", picture.name)
        return shape
    findings.odd("boxes were segmented by the model of --sam", picture.name)
    return replace(shape, segmentation=rle, box=own)
