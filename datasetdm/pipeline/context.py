"""What every stage is handed: the benchmark, its settings and its paths."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.diffusion import image_size_step, load_backbone
from datasetdm.diffusion.backbone import Backbone
from datasetdm.downstream import DOWNSTREAM
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.paths import DATA, STUDY_DATA, Paths
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.utils.files import read_json


@dataclass(frozen=True)
class Context:
    """One benchmark in the project of the current folder.

    Attributes:
        benchmark: its name in `params.yaml`.
        params: all settings.
        paths: where its outputs lie.
        study: whether this is the study-sized run of `make study`.
    """

    benchmark: str
    params: config.Params
    paths: Paths
    study: bool = False

    @property
    def settings(self) -> config.Benchmark:
        """The benchmark's block of `params.yaml`."""
        return self.params.benchmark(self.benchmark)

    def with_downstream(self, **changes: Any) -> "Context":
        """The same benchmark with some settings of its downstream model changed."""
        downstream = self.settings.downstream.model_copy(update=changes)
        settings = self.settings.model_copy(update={"downstream": downstream})
        benchmarks = {**self.params.benchmarks, self.benchmark: settings}
        return replace(self, params=self.params.model_copy(update={"benchmarks": benchmarks}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds over labelled subset and initialisation."""
        return self.settings.seeds

    @property
    def world(self) -> str:
        """`miniworld` where the embedded world stands in for real data, else `real`."""
        return "miniworld" if self.settings.source.miniworld else "real"

    @property
    def experiment(self) -> str:
        """The MLflow experiment, and the prefix of model names; a study's figures stay apart from the demo's."""
        return f"{self.benchmark}_study" if self.study else self.benchmark

    def task(self) -> Task:
        """The task, with the categories that ingestion found."""
        return self.task_of(self.paths.real)

    def task_of(self, real: Path) -> Task:
        """The task, with the categories of the ingested folder `real`."""
        file = real / "categories.json"
        if not file.exists():
            raise missing(self, real, "ingest")
        remedy = f"Make it again with `python -m datasetdm ingest {self.benchmark}`."
        status = file.stat()
        categories = _categories(file, remedy, (status.st_ino, status.st_size, status.st_mtime_ns))
        return build_task(self.settings.task, categories)

    def backbone(self) -> Backbone:
        """The frozen diffusion model, loaded once per process, and again after `release_backbone`."""
        return _backbone(self.params.backbone)


def open_context(benchmark: str, *, study: bool = False) -> Context:
    """The context of a benchmark, from `params.yaml` in the current folder.

    Raises:
        DatasetDMError: settings that are wrong, be it for a stage that comes late.
    """
    params = config.load_params(
        study=study, benchmark=benchmark, checks=lambda sections: _what_models_refuse(benchmark, sections)
    )
    params.benchmark(benchmark)
    return Context(benchmark, params, Paths(STUDY_DATA if study else DATA, benchmark), study)


def release_backbone() -> None:
    """Let go of the diffusion model, whose memory another model is about to need."""
    _backbone.cache_clear()
    gc.collect()  # its modules and their hooks refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _what_models_refuse(benchmark: str, sections: Mapping[str, Any]) -> list[str]:
    """What the models say to those sections of the settings that are valid."""
    problems = []
    if "task" in sections and "downstream" in sections:
        try:
            DOWNSTREAM[sections["task"].name].check_model(sections["downstream"])
        except DatasetDMError as error:
            problems += [
                f"benchmarks.{benchmark}.{line.removeprefix('params.yaml: ')}" for line in str(error).splitlines()
            ]
    if "backbone" in sections:
        size, step = sections["backbone"].image_size, image_size_step(sections["backbone"])
        if step is not None and size % step:
            problems.append(f"backbone.image_size is {size}; this model needs a multiple of {step}")
    return problems


def missing(context: Context, path: Path, stage: str) -> DatasetDMError:
    """The error for an input that an earlier stage has to make."""
    flag = " --study" if context.study else ""
    return DatasetDMError(
        f"{path} is missing. Make it with `python -m datasetdm {stage} {context.benchmark}{flag}`, or it and all "
        f"before it with `dvc repro {stage}@{context.benchmark}` or `python -m datasetdm run "
        f"{context.benchmark}{flag} --until {stage}`."
    )


@lru_cache(maxsize=32)
def _categories(file: Path, remedy: str, state: tuple[int, ...]) -> list[Category]:
    """The categories of a file; `state` changes with it, so that it is read once."""
    try:
        return [Category(**record) for record in read_json(file, remedy=remedy)]
    except TypeError:
        raise DatasetDMError(f"{file} is no list of categories. {remedy}") from None


@lru_cache(maxsize=1)
def _backbone(settings: config.Backbone) -> Backbone:
    return load_backbone(settings)
