"""Pose estimation with ViTPose and Simple Baselines: top-down, one crop per person."""

from datasetdm.downstream.pose.model import PoseModel

load = PoseModel.load  # models in MLflow's registry name their loader `datasetdm.downstream.pose:load`
