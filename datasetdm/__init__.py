"""DatasetDM: a few dozen labelled images in, a training set of any size out (arXiv 2308.06160)."""
