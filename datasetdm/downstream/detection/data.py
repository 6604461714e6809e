"""Training data of a detector: files, augmentation, mixture of data sets."""

import contextlib
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.image import rescale_size
from mmcv.transforms import BaseTransform, RandomResize
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import (
    FilterAnnotations,
    LoadAnnotations,
    PackDetInputs,
    PhotoMetricDistortion,
    RandomCrop,
    RandomFlip,
    Resize,
)
from mmengine.dataset import ConcatDataset, pseudo_collate, worker_init_fn
from torch.utils.data import DataLoader

from datasetdm.annotations.sample import Category
from datasetdm.downstream.mixture import mixed
from datasetdm.downstream.sources import Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_image


class ReadImage(BaseTransform):
    """The project's own reader in place of mmdet's, so that the detector sees the pixels that the decoder sees."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `img`, uint8 H x W x 3, BGR as mmdet expects it, and its size, twice."""
        image = np.ascontiguousarray(read_image(Path(results["img_path"]))[..., ::-1])
        return results | {"img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}


class HideIgnored(BaseTransform):
    """Paints over regions that are neither learnt nor evaluated (`iscrowd`), where no object lies.

    Most of mmdet's losses take what is not annotated for background, whatever its flags say.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """`img` with the mean colour of the image in the regions that `gt_ignore_flags` marks."""
        ignored, masks = results["gt_ignore_flags"], results["gt_masks"].to_ndarray().astype(bool)
        region = masks[ignored].any(axis=0) & ~masks[~ignored].any(axis=0)
        if not region.any():
            return results
        image = results["img"].copy()
        image[region] = image.mean(axis=(0, 1)).round()
        return results | {"img": image}


class ResizeStrips(Resize):
    """mmdet's own resizing to fit into `scale`, but no side of a long strip shrinks to less than a pixel."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """As `Resize` with `keep_ratio`."""
        height, width = results["img"].shape[:2]
        fitting = rescale_size((width, height), self.scale)
        self.scale: tuple[int, int] = (max(1, fitting[0]), max(1, fitting[1]))
        self.keep_ratio = False
        return super().transform(results)


def train_pipeline(image_size: int, *, hide_ignored: bool = False) -> list[dict[str, Any]]:
    """Transforms of a training image: flip, large-scale jitter to half and double size, mild colour changes.

    With `hide_ignored` regions to ignore are painted over first.
    """
    size = (image_size, image_size)
    return [
        {"type": ReadImage},
        {"type": LoadAnnotations, "with_bbox": True, "with_mask": True},
        *([{"type": HideIgnored}] if hide_ignored else []),
        {"type": RandomFlip, "prob": 0.5},
        {
            "type": RandomResize,
            "scale": size,
            "ratio_range": (0.5, 2.0),
            "resize_type": ResizeStrips,
            "keep_ratio": True,
        },
        {"type": RandomCrop, "crop_size": size, "recompute_bbox": True, "allow_negative_crop": True},
        {"type": FilterAnnotations, "min_gt_bbox_wh": (2, 2), "by_mask": True, "keep_empty": False},
        {
            "type": PhotoMetricDistortion,
            "brightness_delta": 16,
            "contrast_range": (0.8, 1.2),
            "saturation_range": (0.8, 1.2),
            "hue_delta": 6,
        },
        {"type": PackDetInputs},
    ]


def coco_dataset(
    source: Labelled, categories: Sequence[Category], image_size: int, *, hide_ignored: bool = False
) -> CocoDataset:
    """One source as an mmdet dataset; images without objects are kept.

    Raises:
        DatasetDMError: the file is missing, or its categories are not the given ones in the given order.
    """
    if not source.annotation_file.is_file():
        raise DatasetDMError(f"{source.annotation_file} is missing: run the stages before the training.")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        dataset = CocoDataset(
            ann_file=str(source.annotation_file.absolute()),
            data_prefix={"img": str(source.images_dir.absolute())},
            metainfo={"classes": tuple(category.name for category in categories)},
            pipeline=train_pipeline(image_size, hide_ignored=hide_ignored),
            serialize_data=False,  # fails on a file without images
        )
    # mmdet numbers classes in the order of the file, whatever the order in `classes`.
    if dataset.cat_ids != [category.id for category in categories]:
        raise DatasetDMError(
            f"{source.annotation_file} has other categories, or has them in another order, than the real images. "
            "Run the stages again from `ingest` on."
        )
    return dataset


def train_loader(
    sources: Sequence[Labelled],
    categories: Sequence[Category],
    *,
    image_size: int,
    batch_size: int,
    num_batches: int,
    seed: int,
    num_workers: int = 0,
    start: int = 0,
    hide_ignored: bool = False,
) -> DataLoader:
    """Exactly `num_batches` batches, less the first `start`, drawn from the sources by their weights.

    Without workers the random state of numpy decides the augmentation, with workers `seed` does.

    Raises:
        DatasetDMError: no source has an image.
    """
    datasets = [coco_dataset(source, categories, image_size, hide_ignored=hide_ignored) for source in sources]
    filled = [(dataset, source) for dataset, source in zip(datasets, sources, strict=True) if len(dataset)]
    if not filled:
        files = ", ".join(str(source.annotation_file) for source in sources)
        raise DatasetDMError(
            f"There is no image to train on: {files or 'every source'} holds none. Lower "
            "synthesis.filter.score_threshold or raise the number of images in params.yaml."
        )
    parts, used = zip(*filled, strict=True)
    sampler = mixed(used, [len(part) for part in parts], num_batches * batch_size, seed, start * batch_size)
    return DataLoader(
        ConcatDataset(parts),
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=pseudo_collate,
        num_workers=num_workers,
        worker_init_fn=partial(worker_init_fn, num_workers=num_workers, rank=0, seed=seed + start),
    )
