"""A synthetic set, its P-Decoder and the best downstream model as folders that the Hub takes, and on the Hub if asked.

<out>/dataset/       images, annotations, manifest, settings, README.md, croissant.json
<out>/p_decoder/     weights, configuration, README.md
<out>/downstream/    the same of the best downstream model, if one is trained
<out>/publication.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.export_contents import contents_of, merged_categories
from datasetdm.pipeline.publication.annotations import annotations_of
from datasetdm.pipeline.publication.cards import champion_card, dataset_card, decoder_card
from datasetdm.pipeline.publication.croissant import croissant
from datasetdm.pipeline.publication.data import write_data
from datasetdm.pipeline.publication.hub import open_hub, upload
from datasetdm.pipeline.publication.licences import warnings
from datasetdm.pipeline.publication.release import Release, gather
from datasetdm.pipeline.publication.snapshot import settings_snapshot
from datasetdm.utils.digests import digest
from datasetdm.utils.files import remove_leftovers, replacing, write_json, write_text

DATASET, P_DECODER, DOWNSTREAM = "dataset", "p_decoder", "downstream"
CARD, CROISSANT, SETTINGS, MARKER = "README.md", "croissant.json", "params.yaml", "publication.json"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was written.

    Attributes:
        folders: name -> folder.
        images: in the data set.
        addresses: on the hub, if it was uploaded.
        warnings: what the publisher should know, such as licences that are not stated.
    """

    folders: Mapping[str, Path]
    images: int
    addresses: Sequence[str]
    warnings: Sequence[str]


def publish(
    context: Context, out: Path, *, hub: str | None = None, private: bool = False, replace: bool = False
) -> Published:
    """Write the folders, and upload them if `hub` names the data set there.

    Args:
        context: the benchmark.
        out: the folder.
        hub: `owner/name` of the data set; the models' names begin with it.
        private: whether new repositories on the hub are private.
        replace: whether an earlier publication in `out` is replaced.

    Raises:
        DatasetDMError: there is nothing to publish, or it does not fit the settings; `out` holds other files; the hub
            refuses.
    """
    _check_free(out, replace=replace)
    api = open_hub(hub) if hub else None
    release = gather(context, hub)
    remove_leftovers(out)
    with replacing(out) as folder:
        _write(release, folder, date.today())
    folders = {name: out / name for name in (DATASET, P_DECODER, DOWNSTREAM) if (out / name).exists()}
    addresses = upload(api, _repositories(release, folders), private=private) if api else []
    return Published(
        folders=folders,
        images=len(release.accepted),
        addresses=addresses,
        warnings=list(warnings(context, release.licences)),
    )


def _write(release: Release, folder: Path, day: date) -> None:
    context, task, data = release.context, release.context.task(), folder / DATASET
    contents = contents_of([context], ["synthetic"], merged_categories([context]), seed=release.decoder.training.seed)
    annotations = annotations_of(contents, standard_format(*task.kind), task)
    write_data(
        data,
        release.manifest,
        annotations,
        task,
        scores=release.scores,
        benchmark=context.benchmark,
        software=release.software,
    )
    write_text(data / SETTINGS, settings_snapshot(context))
    write_text(data / CARD, dataset_card(release, annotations))
    write_json(data / CROISSANT, croissant(release, annotations, data, day))
    release.decoder.copy(folder / P_DECODER)
    write_text(folder / P_DECODER / CARD, decoder_card(release))
    if release.champion:
        release.champion.copy(folder / DOWNSTREAM)
        write_text(folder / DOWNSTREAM / CARD, champion_card(release, release.champion))
    marker = {"benchmark": context.benchmark, "software": release.software, "commit": release.commit}
    write_json(folder / MARKER, {**marker, "dataset": digest(data)})


def _repositories(release: Release, folders: Mapping[str, Path]) -> dict[tuple[str, str], Path]:
    """Kind and name on the hub -> folder."""
    return {
        ("dataset", str(release.hub)) if name == DATASET else ("model", release.repository(name)): folder
        for name, folder in folders.items()
    }


def _check_free(out: Path, *, replace: bool) -> None:
    """Refuse a folder with files that would be lost."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if (out / MARKER).is_file():
        if not replace:
            raise DatasetDMError(f"{out} holds a publication already. Add --replace, or choose another --out.")
    elif out.exists():
        raise DatasetDMError(f"{out} exists and is no publication. Choose another --out; nothing was changed.")
