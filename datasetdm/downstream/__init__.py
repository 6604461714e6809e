"""The ordinary models that show what the synthetic data are worth: `DOWNSTREAM[task].train(...)` and `.load(...)`."""

from datasetdm.downstream.evaluation import EVALUATION_BATCH, evaluate, predictions
from datasetdm.downstream.families import DOWNSTREAM
from datasetdm.downstream.sources import Labelled

__all__ = ["DOWNSTREAM", "EVALUATION_BATCH", "Labelled", "evaluate", "predictions"]
