"""The settings: `params.yaml`, read and validated in this one place."""

from datasetdm.config.adapters import Adaptation, IPAdapter, Lora
from datasetdm.config.backbone import Backbone
from datasetdm.config.base import BACKGROUND, Fraction, NoiseLevel, Section, Seed
from datasetdm.config.benchmark import Benchmark, Params, task_settings
from datasetdm.config.data import DataSource, Distribution, Ingest, Miniworld, Source
from datasetdm.config.experiment import Experiment
from datasetdm.config.language_model import LanguageModel
from datasetdm.config.loading import load_params
from datasetdm.config.publication import Publication
from datasetdm.config.selection import Selection
from datasetdm.config.synthesis import (
    GRID,
    Augmentation,
    CrossValidation,
    Feedback,
    Filter,
    MinAgreement,
    Prompts,
    Sampler,
    Scene,
    Synthesis,
)
from datasetdm.config.tasks import (
    DepthAnnotation,
    InstanceAnnotation,
    PoseAnnotation,
    SemanticAnnotation,
    TaskSection,
    TaskSettings,
)
from datasetdm.config.training import Decoder, Downstream, PromptNoise, Reading

__all__ = [
    "BACKGROUND",
    "GRID",
    "Adaptation",
    "Augmentation",
    "Backbone",
    "Benchmark",
    "CrossValidation",
    "DataSource",
    "Decoder",
    "DepthAnnotation",
    "Distribution",
    "Downstream",
    "Experiment",
    "Feedback",
    "Filter",
    "Fraction",
    "IPAdapter",
    "Ingest",
    "InstanceAnnotation",
    "LanguageModel",
    "Lora",
    "MinAgreement",
    "Miniworld",
    "NoiseLevel",
    "Params",
    "PoseAnnotation",
    "PromptNoise",
    "Prompts",
    "Publication",
    "Reading",
    "Sampler",
    "Scene",
    "Section",
    "Seed",
    "Selection",
    "SemanticAnnotation",
    "Source",
    "Synthesis",
    "TaskSection",
    "TaskSettings",
    "load_params",
    "task_settings",
]
