"""Dagster around the stages of `datasetdm`: the asset graph, its checks, jobs and metadata."""

from datasetdm.utils.processors import heed_quota

heed_quota()  # here, as every process of Dagster comes by, and torch is imported by the modules of this package
