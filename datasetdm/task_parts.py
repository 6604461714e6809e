"""The tasks by name, and the parts that each consists of, in whichever room they lie.

Parts are named as `module:object`. They are imported when they are first used, so that settings and tables of figures
can be read without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How to show a metric: its title, in per cent or else with three decimals, and whether higher is better."""

    title: str
    percent: bool = True
    higher_is_better: bool = True

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


@dataclass(frozen=True, kw_only=True)
class TaskParts:
    """What a task consists of. All but `metrics` name an object as `module:object`.

    Attributes:
        settings: the `TaskSection` that `task` in params.yaml fills in.
        task: makes a `Task` of the categories and these settings.
        format: makes a `StandardFormat` of the settings and the categories.
        filter: makes a `Filter` of the settings and the categories.
        evaluator: makes an `Evaluator` of the settings and the categories.
        baseline: makes a `Guess` of the settings and the training annotations; None if the trivial answer is to find
            nothing.
        downstream: the `DownstreamModel`; its module has a function `load`, too, for MLflow.
        readout: the `Readout`, if a network that scores every pixel serves the task.
        metrics: those that tables show, in order. Tables skip metrics that no arm has.
    """

    settings: str
    task: str
    format: str
    filter: str
    evaluator: str
    baseline: str | None
    downstream: str
    readout: str | None = None
    metrics: Mapping[str, Metric]


TASKS: dict[str, TaskParts] = {
    "instance": TaskParts(
        settings="datasetdm.config.tasks:InstanceAnnotation",
        task="datasetdm.tasks.instance:InstanceTask",
        format="datasetdm.datasets.standard.formats:InstanceFormat",
        filter="datasetdm.filters.instance:InstanceFilter",
        evaluator="datasetdm.evaluation.evaluators:mask_evaluator",
        baseline=None,
        downstream="datasetdm.downstream.detection:Detector",
        metrics={
            "mask_ap": Metric("AP"),
            "mask_ap50": Metric("AP50"),
            "mask_ap75": Metric("AP75"),
            "mask_ap_small": Metric("APs"),
            "mask_ap_medium": Metric("APm"),
            "mask_ap_large": Metric("APl"),
            "mask_ap_rare": Metric("APr"),
            "mask_ap_common": Metric("APc"),
            "mask_ap_frequent": Metric("APf"),
        },
    ),
    "semantic": TaskParts(
        settings="datasetdm.config.tasks:SemanticAnnotation",
        task="datasetdm.tasks.open_vocabulary_semantic:semantic_task",
        format="datasetdm.datasets.standard.formats:SemanticFormat",
        filter="datasetdm.filters.semantic:SemanticFilter",
        evaluator="datasetdm.evaluation.evaluators:semantic_evaluator",
        baseline="datasetdm.evaluation.baselines:majority_map",
        downstream="datasetdm.downstream.dense:DenseModel",
        readout="datasetdm.downstream.dense.readouts:SemanticReadout",
        metrics={
            "miou": Metric("mIoU"),
            "miou_seen": Metric("mIoU seen"),
            "miou_unseen": Metric("mIoU unseen"),
            "miou_harmonic": Metric("harmonic"),
            "miou_head": Metric("mIoU head"),
            "miou_tail": Metric("mIoU tail"),
            "pixel_accuracy": Metric("pixel accuracy"),
        },
    ),
    "depth": TaskParts(
        settings="datasetdm.config.tasks:DepthAnnotation",
        task="datasetdm.tasks.depth:DepthTask",
        format="datasetdm.datasets.standard.formats:DepthFormat",
        filter="datasetdm.filters.depth:DepthFilter",
        evaluator="datasetdm.evaluation.evaluators:depth_evaluator",
        baseline="datasetdm.evaluation.baselines:row_prior",
        downstream="datasetdm.downstream.dense:DenseModel",
        readout="datasetdm.downstream.dense.readouts:DepthReadout",
        metrics={
            "abs_rel": Metric("abs rel", percent=False, higher_is_better=False),
            "rmse": Metric("RMSE (m)", percent=False, higher_is_better=False),
            "delta1": Metric("delta1"),
        },
    ),
    "pose": TaskParts(
        settings="datasetdm.config.tasks:PoseAnnotation",
        task="datasetdm.tasks.pose:PoseTask",
        format="datasetdm.datasets.standard.formats:PersonFormat",
        filter="datasetdm.filters.pose:PersonFilter",
        evaluator="datasetdm.evaluation.evaluators:keypoint_evaluator",
        baseline="datasetdm.evaluation.baselines:mean_pose",
        downstream="datasetdm.downstream.pose:PoseModel",
        metrics={
            "keypoint_ap": Metric("keypoint AP"),
            "keypoint_ap50": Metric("AP50"),
            "keypoint_ap75": Metric("AP75"),
            "keypoint_ap_medium": Metric("APm"),
            "keypoint_ap_large": Metric("APl"),
        },
    ),
}

#: How tables and plots show each metric. They leave out others, such as those per category.
METRICS: dict[str, Metric] = {name: metric for parts in TASKS.values() for name, metric in parts.metrics.items()}
