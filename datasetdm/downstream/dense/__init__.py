"""Semantic segmentation and depth estimation with the networks of transformers: scores for every pixel."""

from datasetdm.downstream.dense.model import DenseModel

load = DenseModel.load  # models in MLflow's registry name their loader `datasetdm.downstream.dense:load`
