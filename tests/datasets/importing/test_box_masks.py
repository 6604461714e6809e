"""Boxes segmented by a tiny SAM with random weights, through the files and calls of a real one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    SamConfig,
    SamImageProcessor,
    SamMaskDecoderConfig,
    SamModel,
    SamProcessor,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from datasetdm.datasets.importing.box_masks import BoxSegmenter, segment_boxes
from datasetdm.datasets.importing.contents import Contents, Picture, Shape, numbered
from datasetdm.datasets.importing.findings import Findings
from datasetdm.errors import DatasetDMError
from tests.datasets.importing.builders import pictures


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of 64 x 64 pixels."""
    torch.manual_seed(0)
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16,
            output_channels=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            window_size=4,
            global_attn_indexes=[0],
            mlp_dim=16,
            num_pos_feats=8,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4
        ).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=16
        ).to_dict(),
    )
    folder = tmp_path_factory.mktemp("sam")
    SamModel(config).save_pretrained(folder)
    processor = SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16}
    )
    SamProcessor(processor).save_pretrained(folder)
    return folder


def test_one_mask_of_the_images_size_per_box(sam: Path) -> None:
    model = BoxSegmenter(str(sam), "cpu")
    image = np.random.default_rng(0).integers(0, 256, (40, 100, 3), dtype=np.uint8)
    masks = model.masks(image, [[10, 5, 30, 20], [0, 0, 100, 40], [50, 10, 20.5, 10.5]])
    assert [mask.shape for mask in masks] == [(40, 100)] * 3
    assert all(mask.dtype == bool for mask in masks)


class Fills:
    """Stands for a model that segments well: it fills the box, or nothing."""

    def __init__(self, fills: bool) -> None:
        self.fills = fills

    def masks(self, image: np.ndarray, boxes: list[list[float]]) -> list[np.ndarray]:
        found = []
        for x, y, width, height in boxes:
            mask = np.zeros(image.shape[:2], dtype=bool)
            mask[int(y) : int(y + height), int(x) : int(x + width)] = self.fills
            found.append(mask)
        return found


@pytest.mark.parametrize("fills", [True, False])
def test_masks_that_do_not_fill_their_boxes_are_not_used(fills: bool, tmp_path: Path) -> None:
    (item,) = pictures(tmp_path, 1)
    drawn = Shape(label="cat", segmentation=[[1, 1, 9, 1, 9, 9]], box=[1, 1, 8, 8])
    bare, crowd = Shape(label="cat", box=[2, 3, 10, 5]), Shape(label="cat", box=[2, 3, 10, 5], crowd=True)
    contents = Contents(
        task="instance",
        categories=numbered(["cat"]),
        pictures=(Picture(file=item.file, name=item.name, shapes=(drawn, bare, crowd)),),
        root=tmp_path,
    )
    findings = Findings()
    first, second, third = segment_boxes(contents, Fills(fills), findings).pictures[0].shapes  # type: ignore[arg-type]
    assert (first, third) == (drawn, crowd)
    assert (second.segmentation is not None) == fills
    assert findings.count("boxes got a mask that does not fill them, which is not used") == (not fills)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"--sam .* cannot be loaded as a model for mask generation"):
        BoxSegmenter(str(tmp_path / "nothing"))
