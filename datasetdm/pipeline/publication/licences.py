"""The licences that cards name: those that the user states, else what the files themselves say, else "unknown"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from datasetdm.arms import LABELLED
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.pipeline.context import Context
from datasetdm.utils.files import read_json

UNKNOWN = "unknown"

#: The identifiers that the Hub takes as `license`: https://huggingface.co/docs/hub/repositories-licenses
HUB_LICENCES = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1",
    "lgpl-3.0", "isc", "h-research", "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0",
    "odc-by", "odbl", "openmdw-1.0", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib",
    "pddl", "lgpl-lr", "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3",
    "llama3.1", "llama3.2", "llama3.3", "llama4", "grok2-community", "gemma", "unknown", "other",
})  # fmt: skip


@dataclass(frozen=True)
class Licence:
    """A licence, and who says so (empty: the user)."""

    name: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.source})" if self.source else self.name


@dataclass(frozen=True, kw_only=True)
class Licences:
    """The licences of a publication.

    Attributes:
        data: of what is published.
        generator: of the diffusion model.
        real: of the labelled images that it was made from.
    """

    data: Licence
    generator: Licence
    real: Licence


def licences_of(context: Context) -> Licences:
    """The licences of a benchmark's publication."""
    stated = context.settings.publication
    return Licences(
        data=Licence(stated.license or UNKNOWN),
        generator=Licence(stated.generator_license) if stated.generator_license else _of_model(context),
        real=Licence(stated.real_license) if stated.real_license else _of_images(context),
    )


def warnings(context: Context, licences: Licences) -> Iterator[str]:
    """A line for each licence that is not known."""
    place = f"benchmarks.{context.benchmark}.publication"
    for found, setting, what in (
        (licences.data, "license", "what is published"),
        (licences.generator, "generator_license", f"the diffusion model {context.params.backbone.path}"),
        (licences.real, "real_license", "the labelled images"),
    ):
        if found.name == UNKNOWN:
            yield f"The licence of {what} is unknown, and the cards say so: state it as {place}.{setting}."


def hub_fields(licence: Licence) -> dict[str, Any]:
    """The licence in the metadata of a card; one that the Hub has no identifier for is `other` with a name."""
    identifier = licence.name.lower()
    if identifier in HUB_LICENCES:
        return {"license": identifier}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+]+", "-", identifier).strip("-")}


def _of_model(context: Context) -> Licence:
    """What the model's own card says."""
    card = Path(context.params.backbone.path) / "README.md"
    try:
        name: Any = ModelCard.load(card).data.license if card.is_file() else None
    except Exception:  # somebody else's file; YAML and the hub's client raise errors of several unrelated types
        name = None
    return Licence(str(name), "as its model card says") if name else Licence(UNKNOWN)


def _of_images(context: Context) -> Licence:
    """What the data set's annotation file says of its images; ours are rendered by this project."""
    if context.settings.source.miniworld:
        return Licence("apache-2.0", "rendered by the embedded world")
    file = annotation_file(context.paths.real, LABELLED.subset(context.seeds[0]))
    records = read_json(file, remedy="Run the stage ingest again.").get("licenses", ())
    names = sorted({str(record["name"]) for record in records if isinstance(record, dict) and record.get("name")})
    return Licence("; ".join(names), "as the data set's file says, image by image") if names else Licence(UNKNOWN)
