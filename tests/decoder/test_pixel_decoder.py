"""The fusion of levels."""

import torch
from torch.nn import functional as F

from datasetdm.decoder.pixel_decoder import Fusion


def test_fusion_is_one_convolution_over_both_parts() -> None:
    torch.manual_seed(0)
    fusion = Fusion(input_channels=5, channels=8, from_below=True)
    x, below = torch.randn(2, 5, 6, 8), torch.randn(2, 8, 3, 4)
    upsampled = F.interpolate(below, size=(6, 8), mode="bilinear", align_corners=False)
    joined = fusion.join(torch.cat([upsampled, x], dim=1))
    torch.testing.assert_close(fusion(x, below), fusion.block(F.relu(fusion.norm(joined))))


def test_the_coarsest_level_has_nothing_below() -> None:
    torch.manual_seed(0)
    fusion = Fusion(input_channels=5, channels=8, from_below=False)
    x = torch.randn(2, 5, 6, 8)
    torch.testing.assert_close(fusion(x, None), fusion.block(F.relu(fusion.norm(fusion.join(x)))))
