"""Figures from the paper (arXiv 2308.06160, its tables and project page), shown next to ours.

The authors measured them on real data with Stable Diffusion. None of them was reproduced here.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's tables: the setting and the figure of each arm.

    Attributes:
        setting: downstream model and numbers of images.
        metric: a key of `task_parts.METRICS`.
        arms: arm -> value, in the unit of our metrics (fractions, or plain numbers for depth errors).
    """

    setting: str
    metric: str
    arms: dict[str, float] = field(default_factory=dict)


PAPER: dict[str, PaperRow] = {
    "coco": PaperRow("Swin-B, 400 real, 80k synthetic", "mask_ap", {"real": 0.113, "synthetic": 0.176, "both": 0.233}),
    "voc": PaperRow("Swin-B, 100 real, 40k synthetic", "miou", {"real": 0.652, "synthetic": 0.737, "both": 0.785}),
    "cityscapes": PaperRow("Swin-B, 9 real, 38k synthetic", "miou", {"real": 0.411, "synthetic": 0.373, "both": 0.474}),
    "deepfashion": PaperRow("R50, 100 real, 40k synthetic", "miou", {"real": 0.312, "synthetic": 0.289, "both": 0.367}),
    "nyu": PaperRow("Swin-L, 50 real, 35k synthetic", "abs_rel", {"real": 0.31, "synthetic": 0.22, "both": 0.21}),
    "coco_pose": PaperRow(
        "HRNet-W32, 800 real, 80k synthetic", "keypoint_ap", {"real": 0.424, "synthetic": 0.134, "both": 0.475}
    ),
    "voc_zero_shot": PaperRow("450 real, 40k synthetic", "miou_harmonic", {"both": 0.684}),
}
