"""IoU agrees with pycocotools."""

import numpy as np
from pycocotools import mask as mask_utils

from datasetdm.annotations.matching import mask_ious


def test_iou_of_masks() -> None:
    masks = np.random.default_rng(0).random((5, 13, 21)) < 0.4
    encoded = [mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    np.testing.assert_allclose(mask_ious(masks[:2], masks), mask_utils.iou(encoded[:2], encoded, [0] * 5), rtol=1e-6)
    assert mask_ious(masks, masks[:0]).shape == (5, 0) and mask_ious(masks[:0], masks).shape == (0, 5)
    assert mask_ious(masks[:1] & False, masks).tolist() == [[0] * 5]
