"""Dagster around the stages of `datasetdm`: the asset graph, its checks, jobs and metadata."""
