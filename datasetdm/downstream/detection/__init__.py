"""Instance segmentation with the detectors of mmdet, trained by mmengine."""

from datasetdm.downstream.detection.model import Detector

load = Detector.load  # models in MLflow's registry name their loader `datasetdm.downstream.detection:load`
