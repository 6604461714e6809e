"""mmdet reads what is written."""

from pathlib import Path

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.utils import register_all_modules

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.coco_writing import save_coco


def test_mmdet_reads_the_same_objects(tmp_path: Path) -> None:
    register_all_modules()  # the loaders of the pipeline below
    rng = np.random.default_rng(0)
    categories = [Category(id=90, name="cup", frequency="r"), Category(id=3, name="car")]
    categories = sorted(categories, key=lambda category: category.id)
    samples = []
    for number in range(3):
        masks = np.zeros((number, 24, 32), dtype=bool)
        for mask in masks:
            top, left = rng.integers(0, 12, 2)
            mask[top : top + 9, left : left + 7] = rng.random((9, 7)) < 0.8
        target = Instances(
            masks=masks,
            labels=rng.integers(0, 2, number),
            scores=np.full(number, 0.5, dtype=np.float32),
            crowd=np.arange(number) == 1,
            judged=(0, 1),
            not_exhaustive=(1,),
        )
        image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        samples.append(Sample(name=f"{number}.png", image=image, caption="a cup", target=target))
    save_coco(tmp_path / "x.json", tmp_path, samples, categories)
    read = CocoDataset(
        ann_file=str(tmp_path / "x.json"),
        data_prefix={"img": str(tmp_path)},
        metainfo={"classes": [category.name for category in categories]},
        pipeline=[
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
        ],
        test_mode=True,
    )
    assert len(read) == 3
    for sample, item in zip(samples, read, strict=True):
        assert np.array_equal(item["img"][..., ::-1], sample.image)
        assert np.array_equal(item["gt_masks"].masks.astype(bool), sample.target.masks)
        assert np.array_equal(item["gt_bboxes_labels"], sample.target.labels)
        assert np.array_equal(item["gt_ignore_flags"], sample.target.crowd)
