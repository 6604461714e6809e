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


#: What the tables of rivals say of the paper's figures.
SOURCE = (
    "The paper's figures are those of arXiv 2308.06160 (project page and its tables), on photographs with Stable "
    "Diffusion; none was reproduced here. It gives one row for each rival, which stands next to `both`."
)

_ZERO_SHOT = ("miou_seen", "miou_unseen", "miou_harmonic")  # VOC 2012, 450 labelled images, 40k drawn ones


def _zero_shot(*values: float) -> dict[str, float]:
    return dict(zip(_ZERO_SHOT, values, strict=True))


#: Benchmark -> way to read labels (`decoder_methods.METHODS`, or "baseline": none) -> arm -> metric -> figure.
RIVALS: dict[str, dict[str, dict[str, dict[str, float]]]] = {
    "voc_zero_shot": {
        "baseline": {"real": _zero_shot(0.613, 0.107, 0.183)},
        "grounding": {"both": _zero_shot(0.628, 0.500, 0.557)},
        "cross_attention": {"both": _zero_shot(0.714, 0.650, 0.681)},
        "p_decoder": {"both": _zero_shot(0.788, 0.605, 0.684)},
    },
} | {
    name: {
        "baseline": {"real": {PAPER[name].metric: PAPER[name].arms["real"]}},
        "p_decoder": {arm: {PAPER[name].metric: PAPER[name].arms[arm]} for arm in ("synthetic", "both")},
    }
    for name in ("voc", "coco")
}
