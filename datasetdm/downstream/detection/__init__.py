"""Instance segmentation with the detectors of mmdet, trained by mmengine."""

from datasetdm.utils.extras import require_extra

require_extra("detection")  # the next line imports mmdet, whose absence would be an error without a remedy

from datasetdm.downstream.detection.model import Detector  # noqa: E402

load = Detector.load  # models in MLflow's registry name their loader `datasetdm.downstream.detection:load`
