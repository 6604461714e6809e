"""Ingestion: the sets of a benchmark out of a data set in its native layout."""
