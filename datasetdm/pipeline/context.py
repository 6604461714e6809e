"""What every stage is handed: the benchmark, its settings and its paths."""

import gc
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import torch

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.diffusion import has_zero_terminal_snr, image_size_step, load_backbone, matches_flow
from datasetdm.diffusion.adapters import LORA_FILE
from datasetdm.diffusion.backbone import Backbone
from datasetdm.downstream import DOWNSTREAM
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.paths import DATA, STUDY_DATA, Paths
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.tracking import check_server, experiment_identity
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program


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

    def with_settings(self, section: str, **changes: Any) -> "Context":
        """The same benchmark with some settings of a section, such as `downstream`, changed."""
        changed = getattr(self.settings, section).model_copy(update=changes)
        settings = self.settings.model_copy(update={section: changed})
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

    @property
    def name(self) -> str:
        """What the engine calls this chain of stages."""
        return self.benchmark

    @property
    def work(self) -> Path:
        """Where the engine keeps units, locks and notes."""
        return self.paths.work_root

    def settings_of(self, own: Sequence[str], shared: Sequence[str]) -> dict[str, Any]:
        """Settings by key: of the benchmark's block (`experiment.arms`), and of the rest of `params.yaml`."""
        block = self.settings.model_dump(mode="json")
        found = {key: reduce(operator.getitem, key.split("."), block) for key in own}
        return found | {key: getattr(self.params, key).model_dump(mode="json") for key in shared}

    def check_log(self) -> None:
        """Raise `DatasetDMError` if a tracking server is chosen and does not answer."""
        check_server()

    def log_identity(self) -> str | None:
        """What the benchmark's MLflow experiment is known by; None if there is none yet."""
        return experiment_identity(self.experiment)

    def task(self) -> Task:
        """The task, with the categories that ingestion found."""
        return self.task_of(self.paths.real)

    def task_of(self, real: Path) -> Task:
        """The task, with the categories of the ingested folder `real`."""
        file = real / "categories.json"
        if not file.exists():
            raise missing(self, real, "ingest")
        remedy = f"Make it again with `{program()} ingest {self.benchmark}`."
        status = file.stat()
        return _task(self.settings.task, file, remedy, (status.st_ino, status.st_size, status.st_mtime_ns))

    @property
    def backbone_settings(self) -> config.Backbone:
        """The settings of the frozen diffusion model that annotations are read off; errors as in `backbone`."""
        adapt = self.settings.adapt
        if adapt is None:
            return self.params.backbone
        return self._with_lora(adapt.scale if adapt.reading_scale is None else adapt.reading_scale)

    def backbone(self) -> Backbone:
        """The frozen diffusion model that annotations are read off, with the LoRA of the stage `adapt`.

        It is loaded once per process, and again after `release_backbone`.

        Raises:
            DatasetDMError: the LoRA is missing, or see `load_backbone`.
        """
        return self._loaded(self.backbone_settings)

    def drawing_backbone(self) -> Backbone:
        """The one that draws: the same, unless `adapt.reading_scale` says otherwise; errors as there."""
        adapt = self.settings.adapt
        return self._loaded(self._with_lora(adapt.scale) if adapt else self.params.backbone)

    def _with_lora(self, scale: float) -> config.Backbone:
        """The settings of the model, with the LoRA of the stage `adapt` unless it counts for nothing."""
        settings, file = self.params.backbone, self.paths.adapted / LORA_FILE
        if scale == 0:
            return settings
        if not file.exists():
            raise missing(self, file, "adapt")
        lora = config.Lora(path=str(file), scale=scale)
        return settings.model_copy(update={"loras": (*settings.loras, lora)})

    def _loaded(self, settings: config.Backbone) -> Backbone:
        trained = [Path(lora.path).stat() for lora in settings.loras if Path(lora.path).is_file()]
        return _backbone(settings, self.params.device, tuple((one.st_ino, one.st_mtime_ns) for one in trained))


def open_context(benchmark: str, *, study: bool = False, params: config.Params | None = None) -> Context:
    """The context of a benchmark.

    Args:
        benchmark: its name.
        study: whether the block `study` is laid over the benchmarks.
        params: settings that were read before; None: those of `params.yaml` in the current folder.

    Raises:
        DatasetDMError: settings that are wrong, even if they matter only to a late stage.
    """
    if params is None:
        params = config.load_params(
            study=study, benchmark=benchmark, checks=lambda sections: _what_models_refuse(benchmark, sections)
        )
    elif problems := _what_models_refuse(benchmark, {**dict(params.benchmark(benchmark)), "backbone": params.backbone}):
        raise DatasetDMError("\n  ".join(["params.yaml has problems:", *problems]))
    params.benchmark(benchmark)
    return Context(benchmark, params, Paths(STUDY_DATA if study else DATA, benchmark), study)


def release_backbone() -> None:
    """Let go of the diffusion model, whose memory another model is about to need."""
    _backbone.cache_clear()
    gc.collect()  # its modules and their hooks refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _what_models_refuse(benchmark: str, sections: Mapping[str, Any]) -> list[str]:
    """What is wrong for the models in those sections of the settings that are valid."""
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
    if "backbone" in sections and "synthesis" in sections:
        scheduler = sections["synthesis"].sampler.scheduler
        if scheduler == "pndm" and has_zero_terminal_snr(sections["backbone"]):
            problems.append(
                f"benchmarks.{benchmark}.synthesis.sampler.scheduler is 'pndm', which cannot start from the zero "
                "terminal SNR of this model; choose dpmsolver++ or ddim"
            )
        if scheduler != "model" and matches_flow(sections["backbone"]):
            problems.append(
                f"benchmarks.{benchmark}.synthesis.sampler.scheduler is '{scheduler}', but this model was trained with "
                "flow matching; choose model"
            )
    return problems


def missing(context: Context, path: Path, stage: str) -> DatasetDMError:
    """The error about an input that an earlier stage has to make."""
    flag = " --study" if context.study else ""
    return DatasetDMError(
        f"{path} is missing. Make it with `{program()} {stage} {context.benchmark}{flag}`, or it and all "
        f"before it with `{program()} run {context.benchmark}{flag} --until {stage}`."
    )


@lru_cache(maxsize=32)
def _task(settings: config.TaskSettings, file: Path, remedy: str, state: tuple[int, ...]) -> Task:
    """The task with the categories of a file, which is read again when its `state` changes."""
    try:
        categories = [Category(**record) for record in read_json(file, remedy=remedy)]
    except TypeError:
        raise DatasetDMError(f"{file} does not hold a list of categories. {remedy}") from None
    return build_task(settings, categories)


@lru_cache(maxsize=2)  # one may draw and another one read
def _backbone(settings: config.Backbone, device: str, state: tuple[tuple[int, int], ...]) -> Backbone:
    """The diffusion model; it is loaded again when the `state` of the files of its LoRAs changes."""
    return load_backbone(settings, device)
