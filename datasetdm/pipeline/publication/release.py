"""All that cards say of a publication, gathered and checked before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from datasetdm.arms import P_DECODER
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.made_with import changes
from datasetdm.pipeline.publication.data import plain_rows, published_manifest
from datasetdm.pipeline.publication.licences import Licences, licences_of
from datasetdm.pipeline.publication.models import TrainedModel, best_decoder, champion
from datasetdm.pipeline.rounds.shard import subset_of
from datasetdm.pipeline.stages import compare, synthesize, train_decoder, train_downstream
from datasetdm.task_parts import scores_of
from datasetdm.tracking import git_commit
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is published.

    Attributes:
        context: the benchmark.
        decoder: the P-Decoder whose labels are published.
        champion: the downstream model; None if none is trained.
        manifest: the rows of that P-Decoder.
        metrics: the comparison's figures; empty if there is none.
        licences: of the data, the generator and the labelled images.
        software: name and version of this project.
        commit: of the project's folder; None without git.
        hub: `owner/name` of the data set, if it goes to the hub.
    """

    context: Context
    decoder: TrainedModel
    champion: TrainedModel | None
    manifest: pd.DataFrame
    metrics: Mapping[str, Any]
    licences: Licences
    software: str
    commit: str | None
    hub: str | None = None

    @property
    def accepted(self) -> pd.DataFrame:
        """The rows of the published images."""
        return self.manifest[self.manifest["accepted"]]

    @property
    def row(self) -> Mapping[Any, Any]:
        """One row, for what all have in common."""
        return plain_rows(self.manifest.head(1))[0]

    @property
    def scores(self) -> list[str]:
        """The columns of the manifest with the scores of the filter."""
        return [name for name in scores_of(self.context.settings.task.name) if name in self.manifest]

    @property
    def title(self) -> str:
        """Of the data set."""
        return self.context.settings.publication.title or f"Synthetic {self.context.benchmark} (DatasetDM)"

    @property
    def url(self) -> str | None:
        """Where the data set will be found."""
        return f"https://huggingface.co/datasets/{self.hub}" if self.hub else self.context.settings.publication.url

    def repository(self, kind: str) -> str:
        """The hub's name of one of the models (`p_decoder`, `downstream`); a placeholder without `hub`."""
        suffix = {"p_decoder": "p-decoder", "downstream": self.context.settings.downstream.model}[kind]
        return f"{self.hub or f'owner/{self.context.benchmark}'}-{suffix.replace('_', '-')}"


def gather(context: Context, hub: str | None = None) -> Release:
    """All that there is to publish of a benchmark.

    Raises:
        DatasetDMError: there is no synthetic set yet, it is damaged, or settings have changed since something was made.
    """
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    _refuse_changes(context)
    for check in synthesize.STAGE.checks:
        check.run(context, context.paths.synthetic)
    decoder = best_decoder(context, P_DECODER)
    report = context.paths.reports / "metrics.json"
    return Release(
        context=context,
        decoder=decoder,
        champion=champion(context),
        manifest=published_manifest(manifest, subset_of(decoder.training.seed)),
        metrics=read_json(report, remedy="Run the stage compare again.") if report.exists() else {},
        licences=licences_of(context),
        software=f"DatasetDM {_version()}",
        commit=git_commit(),
        hub=hub,
    )


def _refuse_changes(context: Context) -> None:
    """Cards describe the settings of `params.yaml`, which have to be those that everything was made with."""
    made = [train_decoder.STAGE, synthesize.STAGE]
    made += [stage for stage in (train_downstream.STAGE, compare.STAGE) if stage.output(context).exists()]
    found = {stage.name: changes(stage, context) for stage in made}
    lines = [f"{name}: {line}" for name, its in found.items() for line in its]
    if lines:
        flag = " --study" if context.study else ""
        raise DatasetDMError(
            "\n  ".join(
                [
                    "The cards would not tell the truth, as params.yaml or the code has changed since these were made. "
                    f"Put the settings back, or run `{program()} run {context.benchmark}{flag}`, which makes "
                    "only what depends on them:",
                    *lines,
                ]
            )
        )


def _version() -> str:
    try:
        return version("datasetdm")
    except PackageNotFoundError:
        return "(not installed)"
