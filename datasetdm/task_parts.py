"""The tasks by name, and the parts that each consists of, in whichever room they lie.

Parts are named as `module:object`. They are imported when they are first used, so that settings and tables of figures
can be read without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """How to show a metric: title, in per cent or with three decimals, whether higher is better, what it measures."""

    title: str
    percent: bool = True
    higher_is_better: bool = True
    explanation: str = ""

    def text(self, value: float) -> str:
        """The value as text."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def signed(self, value: float) -> str:
        """A difference of two values as text, with its sign."""
        return f"{100 * value:+.1f}" if self.percent else f"{value:+.3f}"

    def scaled(self, value: float) -> float:
        """The value on the axis of a plot."""
        return 100 * value if self.percent else value

    @property
    def axis(self) -> str:
        """The title with its unit."""
        return f"{self.title} (%)" if self.percent else self.title


@dataclass(frozen=True)
class Score:
    """How to show a score that a filter gives to an annotation: its title, and what it is."""

    title: str
    explanation: str


@dataclass(frozen=True, kw_only=True)
class TaskParts:
    """What a task consists of. Its parts are named as `module:object`.

    Attributes:
        settings: the `TaskSection` that `task` in params.yaml fills in.
        task: makes a `Task` of the categories and these settings.
        format: makes a `StandardFormat` of the settings and the categories.
        filter: makes a `Filter` of the settings and the categories.
        word_masks: whether an annotation can be made of one mask for each word (`Task.word_outputs`).
        judge: makes a `Judge` of the categories; None if the decoder gives no scores, so that nothing can be promised.
        evaluator: makes an `Evaluator` of the settings and the categories.
        baseline: makes a `Guess` of the settings and the training annotations; None if the trivial answer is to find
            nothing.
        downstream: the `DownstreamModel`; its module has a function `load`, too, for MLflow.
        downstream_extra: the extra (see `utils.extras`) without which that cannot be imported.
        readout: the `Readout`, if a network that scores every pixel serves the task.
        quality: makes a `LabelQuality` of the settings and the categories; None: nothing judges labels of this task.
        metrics: those that tables show, in order. Tables skip metrics that no arm has.
        scores: what the filter gives to every annotation. The lower the first, the more doubtful the annotation. Sets
            that were read in several ways have `AGREEMENT`, too.
        legend: how reports show an annotation, in a sentence or two.
        hub_task: what the Hugging Face Hub calls the task.
    """

    settings: str
    task: str
    format: str
    filter: str
    word_masks: bool = False
    judge: str | None = None
    evaluator: str
    baseline: str | None
    downstream: str
    downstream_extra: str | None = None
    readout: str | None = None
    quality: str | None = None
    metrics: Mapping[str, Metric]
    scores: Mapping[str, Score] = field(default_factory=dict)
    legend: str = ""
    hub_task: str = "other"


#: Columns of the manifest for images that were read in several ways (`decoder.reading`), whatever the task.
AGREEMENT = {
    "flip_agreement": Score("flip agreement", "how far the readings of image and mirror image agree, from 0 to 1"),
    "timestep_agreement": Score("timestep agreement", "how far readings at several noise levels agree, from 0 to 1"),
    "attention_agreement": Score("attention agreement", "how far the decoder and the attention agree, from 0 to 1"),
    "count_agreement": Score(
        "count agreement", "how far the objects agree with the numbers in the prompt, from 0 to 1; none if it has none"
    ),
}


def scores_of(task: str) -> dict[str, Score]:
    """All scores that a manifest of the task may have."""
    return {**TASKS[task].scores, **AGREEMENT}


_CONFIDENCE = Score("confidence", "probability that a label is right, calibrated on dev, the mean of the image")
_OBJECT_SCORES = {
    "score": Score("score", "mean confidence of the objects that are kept, from 0 to 1; 0 if there is none"),
    "best_score": Score("best score", "confidence of the surest object before anything was left out, from 0 to 1"),
    "num_objects": Score("objects", "number of objects that are kept"),
    "covered_area": Score("covered area", "share of the image that objects cover, from 0 to 1"),
    "confidence": _CONFIDENCE,
}


TASKS: dict[str, TaskParts] = {
    "instance": TaskParts(
        hub_task="image-segmentation",
        settings="datasetdm.config.tasks:InstanceAnnotation",
        task="datasetdm.tasks.instance:InstanceTask",
        format="datasetdm.datasets.standard.formats:InstanceFormat",
        filter="datasetdm.filters.instance:InstanceFilter",
        word_masks=True,
        judge="datasetdm.calibration.judges:ObjectJudge",
        evaluator="datasetdm.evaluation.evaluators:mask_evaluator",
        quality="datasetdm.evaluation.label_quality:ObjectQuality",
        baseline=None,
        downstream="datasetdm.downstream.detection:Detector",
        downstream_extra="detection",
        metrics={
            "mask_ap": Metric(
                "AP",
                explanation="average precision of masks (COCO), the mean over IoU thresholds from 0.50 to 0.95",
            ),
            "mask_ap50": Metric(
                "AP50", explanation="average precision of masks at an IoU of 0.50: right if roughly in place"
            ),
            "mask_ap75": Metric(
                "AP75", explanation="average precision of masks at an IoU of 0.75: right only with a good outline"
            ),
            "mask_ap_small": Metric("APs", explanation="AP of small objects"),
            "mask_ap_medium": Metric("APm", explanation="AP of objects of medium size"),
            "mask_ap_large": Metric("APl", explanation="AP of large objects"),
            "mask_ap_rare": Metric("APr", explanation="AP of rare categories (LVIS: in up to 10 training images)"),
            "mask_ap_common": Metric("APc", explanation="AP of common categories (LVIS: in 11 to 100 training images)"),
            "mask_ap_frequent": Metric(
                "APf", explanation="AP of frequent categories (LVIS: in more than 100 training images)"
            ),
        },
        scores=_OBJECT_SCORES,
        legend="Each object has an outline in the colour of its category, its name and its score.",
    ),
    "semantic": TaskParts(
        hub_task="image-segmentation",
        settings="datasetdm.config.tasks:SemanticAnnotation",
        task="datasetdm.tasks.open_vocabulary_semantic:semantic_task",
        format="datasetdm.datasets.standard.formats:SemanticFormat",
        filter="datasetdm.filters.semantic:SemanticFilter",
        word_masks=True,
        judge="datasetdm.calibration.judges:MapJudge",
        evaluator="datasetdm.evaluation.evaluators:semantic_evaluator",
        quality="datasetdm.evaluation.label_quality:MapQuality",
        baseline="datasetdm.evaluation.baselines:majority_map",
        downstream="datasetdm.downstream.dense:DenseModel",
        readout="datasetdm.downstream.dense.readouts:SemanticReadout",
        metrics={
            "miou": Metric(
                "mIoU",
                explanation="overlap of predicted and true area (intersection over union), the mean over categories",
            ),
            "miou_seen": Metric("mIoU seen", explanation="mIoU of the categories with labelled examples"),
            "miou_unseen": Metric("mIoU unseen", explanation="mIoU of the categories without a labelled example"),
            "miou_harmonic": Metric("harmonic", explanation="harmonic mean of mIoU seen and mIoU unseen"),
            "miou_head": Metric("mIoU head", explanation="mIoU of the frequent categories"),
            "miou_tail": Metric("mIoU tail", explanation="mIoU of the rare categories"),
            "pixel_accuracy": Metric("pixel accuracy", explanation="share of the pixels with the right category"),
        },
        scores={
            "score": Score("score", "mean confidence over all pixels before any was left out, from 0 to 1"),
            "num_categories": Score("categories", "number of categories that are kept, without the background"),
            "covered_area": Score("covered area", "share of the image that these cover, from 0 to 1"),
            "ignored_area": Score("ignored area", "share of the pixels that are too uncertain to be used, from 0 to 1"),
            "confidence": _CONFIDENCE,
        },
        legend="Each category has its own colour on all pictures. Uncertain pixels, which nothing is learnt from, are "
        "darker; the background has no colour.",
    ),
    "depth": TaskParts(
        hub_task="depth-estimation",
        settings="datasetdm.config.tasks:DepthAnnotation",
        task="datasetdm.tasks.depth:DepthTask",
        format="datasetdm.datasets.standard.formats:DepthFormat",
        filter="datasetdm.filters.depth:DepthFilter",
        evaluator="datasetdm.evaluation.evaluators:depth_evaluator",
        quality="datasetdm.evaluation.label_quality:DepthQuality",
        baseline="datasetdm.evaluation.baselines:row_prior",
        downstream="datasetdm.downstream.dense:DenseModel",
        readout="datasetdm.downstream.dense.readouts:DepthReadout",
        metrics={
            "abs_rel": Metric(
                "abs rel",
                percent=False,
                higher_is_better=False,
                explanation="error of the depth as a share of the true depth, the mean",
            ),
            "rmse": Metric(
                "RMSE (m)",
                percent=False,
                higher_is_better=False,
                explanation="root of the mean squared error of the depth, in metres",
            ),
            "delta1": Metric(
                "delta1", explanation="share of the pixels whose depth is off by a factor of less than 1.25"
            ),
        },
        scores={
            "depth_range": Score("depth range", "farthest less nearest depth, in metres; 0 in a flat map"),
            "median_depth": Score("median depth", "in metres"),
        },
        legend="Red is near, blue is far, each picture on its own scale. Where no depth is known, the image shows "
        "through.",
    ),
    "pose": TaskParts(
        hub_task="keypoint-detection",
        settings="datasetdm.config.tasks:PoseAnnotation",
        task="datasetdm.tasks.pose:PoseTask",
        format="datasetdm.datasets.standard.formats:PersonFormat",
        filter="datasetdm.filters.pose:PersonFilter",
        judge="datasetdm.calibration.judges:PersonJudge",
        evaluator="datasetdm.evaluation.evaluators:keypoint_evaluator",
        quality="datasetdm.evaluation.label_quality:PoseQuality",
        baseline="datasetdm.evaluation.baselines:mean_pose",
        downstream="datasetdm.downstream.pose:PoseModel",
        metrics={
            "keypoint_ap": Metric(
                "keypoint AP",
                explanation="average precision of poses, the mean over similarities (OKS) from 0.50 to 0.95 (COCO)",
            ),
            "keypoint_ap50": Metric(
                "AP50", explanation="average precision of poses at an OKS of 0.50: right if roughly in place"
            ),
            "keypoint_ap75": Metric(
                "AP75", explanation="average precision of poses at an OKS of 0.75: right only if exact"
            ),
            "keypoint_ap_medium": Metric("APm", explanation="keypoint AP of persons of medium size"),
            "keypoint_ap_large": Metric("APl", explanation="keypoint AP of large persons"),
        },
        scores=_OBJECT_SCORES | {"num_keypoints": Score("keypoints", "number of visible keypoints")},
        legend="The left side of a person is orange, the right side green, the middle blue; the outline is the mask.",
    ),
}

#: How tables and plots show each metric. They leave out others, such as those per category.
METRICS: dict[str, Metric] = {name: metric for parts in TASKS.values() for name, metric in parts.metrics.items()}
