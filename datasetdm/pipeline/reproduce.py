"""Draw an image of the synthetic set again from its rows in the manifest, and compare it with the one that is stored.

What the rows do not hold (the filter, the layers that are read) is in the record of the set, so that it does not matter
whether `params.yaml` has changed since.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.unlabelled import load_unlabelled
from datasetdm.decoder.checkpoint import decoder_fingerprint
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.calibrated import decoder_folder
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.made_with import as_made, changes
from datasetdm.pipeline.rounds.shard import REJECTED, annotator_of, draw_ahead, subset_of
from datasetdm.pipeline.stages import synthesize
from datasetdm.reports.overlays import overlay
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import AnnotatedImage, Annotator, GenerationRequest
from datasetdm.synthesis.generate import synthesize as draw_and_annotate
from datasetdm.synthesis.manifest import manifest_rows, sample_of
from datasetdm.utils.files import remove_leftovers, replacing, write_image, write_json
from datasetdm.utils.program import program

ROW, COMPARED = "row.json", "compared.png"
ROUNDING = 1e-5  # of the scores in a row: some processors add up in another order where data lie elsewhere
#: Columns of the manifest that say where something lies, and not how it was made.
_PLACES = ("folder", "shard", "round")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of drawing an image again.

    Attributes:
        folder: with the image, its annotations in the standard format, `compared.png` and `row.json`.
        stored: the image that it was compared with.
        changed_pixels: how many pixels differ.
        largest_change: by how many grey levels at most.
        same_labels: decoder -> whether its annotation is the stored one to the last bit.
        columns: decoder -> columns of its row that differ -> (stored, again).
        notes: what may explain differences, and what else a reader has to know.
    """

    folder: Path
    stored: Path
    changed_pixels: int
    largest_change: int
    same_labels: Mapping[str, bool]
    columns: Mapping[str, Mapping[str, tuple[Any, Any]]]
    notes: Sequence[str]

    @property
    def equal(self) -> bool:
        """Whether image and annotations are the stored ones to the last bit, and the rows but for rounding."""
        return not self.changed_pixels and all(self.same_labels.values()) and not any(self.columns.values())

    @property
    def lines(self) -> list[str]:
        """The result for a person."""
        pixels = f"{self.changed_pixels} differ, by up to {self.largest_change} grey levels"
        found = [f"pixels        {pixels if self.changed_pixels else 'equal'}"]
        for decoder, same in self.same_labels.items():
            differing = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in self.columns[decoder].items())
            found.append(f"label         {'equal' if same else 'differs'} ({decoder})")
            found.append(f"manifest row  {differing or 'equal'} ({decoder})")
        return [*found, *self.notes]


def find_image(context: Context, wanted: str) -> pd.DataFrame:
    """The rows of an image in the manifest, one per decoder.

    Args:
        context: the benchmark.
        wanted: its file name, with or without folder, suffix and leading zeros.

    Raises:
        DatasetDMError: there is no such image, or no set.
    """
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    name = Path(wanted).name
    stem = Path(name).stem if name.endswith(".png") else name
    rows = manifest[manifest["image"].isin({name, f"{stem}.png", f"{stem.zfill(6)}.png"})]
    if rows.empty:
        known = list(dict.fromkeys(manifest["image"]))
        close = get_close_matches(f"{stem}.png", known, n=3, cutoff=0.5)
        meant = f" Did you mean {', '.join(close)}?" if close else ""
        raise DatasetDMError(
            f"{context.paths.synthetic / 'manifest.parquet'} lists no image {wanted}.{meant} It has {len(known)} "
            f"images, {known[0]} to {known[-1]}."
        )
    return rows


def benchmark_of(file: Path) -> tuple[str, str]:
    """The benchmark and the name of an image of a synthetic set, by where the file lies.

    Raises:
        DatasetDMError: it does not lie in such a set.
    """
    parts = file.resolve().parts
    sets = [number for number, part in enumerate(parts[:-2]) if part == "synthetic"]
    if not file.is_file() or not sets:
        raise DatasetDMError(
            f"{file} is no image of a synthetic set, such as data/synthetic/coco/images/000012.png. Name the file, or "
            f"the benchmark and the image: `{program()} reproduce coco 000012.png`."
        )
    return parts[sets[-1] + 1], file.name


def reproduce(context: Context, wanted: str, out: Path | None = None) -> Reproduction:
    """Draw an image and annotate it again with every decoder, whether they were accepted or rejected.

    Args:
        context: the benchmark.
        wanted: see `find_image`.
        out: the folder for the results; earlier ones are replaced. None: below `Paths.reproduced`.

    Raises:
        DatasetDMError: there is no such image, or the diffusion model or a decoder is not the one of the row, or
            `out` holds other files.
    """
    rows = find_image(context, wanted).to_dict("records")
    folder = out or context.paths.reproduced / Path(rows[0]["image"]).stem
    _check_free(folder)
    made = as_made(synthesize.STAGE, context)
    annotators = _annotators(made, rows)
    settings, requests = made.settings.synthesis, [_request(rows[0])]
    latents = draw_ahead(made, requests)
    (again,) = draw_and_annotate(made.backbone(), made.task(), annotators, requests, settings, latents)
    now = manifest_rows(again, annotators, made.drawing_backbone(), settings)
    remove_leftovers(folder)
    with replacing(folder) as temporary:
        labels = {annotator.name: _write(made, temporary, again, annotator.name) for annotator in annotators}
        stored = {row["decoder"]: _stored(made, row) for row in rows}
        pictures = [sample for name in labels for sample in (stored[name], labels[name])]
        shown = [overlay(sample.target, sample.image, made.task().categories) for sample in pictures]
        write_image(temporary / COMPARED, contact_sheet(shown, ["stored", "again"] * len(labels)))
        write_json(temporary / ROW, [_plain(row) for row in now])
    columns = {row["decoder"]: _differences(row, new) for row, new in zip(rows, now, strict=True)}
    before = stored[rows[0]["decoder"]].image.astype(int)
    change = np.abs(before - again.image).max(axis=2) if before.shape == again.image.shape else np.full((1, 1), 255)
    return Reproduction(
        folder=folder,
        stored=context.paths.synthetic / rows[0]["folder"] / rows[0]["image"],
        changed_pixels=int((change > 0).sum()),
        largest_change=int(change.max()),
        same_labels={name: same_annotation(stored[name].target, sample.target) for name, sample in labels.items()},
        columns=columns,
        notes=_notes(context),
    )


def _check_free(folder: Path) -> None:
    """Refuse a folder with files that would be lost."""
    if folder.exists() and not (folder / ROW).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DatasetDMError(f"{folder} exists and was not written by this command. Choose another --out.")


def _annotators(context: Context, rows: Sequence[Mapping[Any, Any]]) -> list[Annotator]:
    """The decoders of the rows, on the diffusion model of the rows; all that is another by now is named at once."""
    seeds = {subset_of(seed): seed for seed in context.seeds}
    problems = []
    for row in rows:
        folder = decoder_folder(context, seeds[row["decoder"]])
        if (found := decoder_fingerprint(folder)) != row["decoder_fingerprint"]:
            problems.append(
                f"the P-Decoder {row['decoder']} of the row has the fingerprint {row['decoder_fingerprint']}, the one "
                f"in {folder} has {found}: it was trained again since"
            )
    wanted, found = rows[0]["backbone_fingerprint"], context.drawing_backbone().fingerprint
    if found != wanted:
        problems.append(
            f"the diffusion model of the row has the fingerprint {wanted}, {context.params.backbone.path} has {found}: "
            "its files, its revision or its LoRAs are others"
        )
    if problems:
        flag = " --study" if context.study else ""
        raise DatasetDMError(
            f"{rows[0]['image']} cannot be drawn again: {'; '.join(problems)}. Put the same weights back, or make the "
            f"set with the present ones: `{program()} synthesize {context.benchmark}{flag}`."
        )
    return [annotator_of(context, seeds[row["decoder"]]) for row in rows]


def _request(row: Mapping[Any, Any]) -> GenerationRequest:
    return GenerationRequest(
        index=int(Path(row["image"]).stem),
        prompt_id=int(row["prompt_id"]),
        prompt=str(row["prompt"]),
        seed=int(row["seed"]),
        categories=tuple(filter(None, str(row["prompt_categories"]).split(";"))),
        kind=str(row["prompt_kind"]),
    )


def _write(context: Context, folder: Path, again: AnnotatedImage, decoder: str) -> Sample:
    """Write the image with a decoder's annotation, and read it back as files hold it."""
    files = standard_format(*context.task().kind)
    files.save(folder, decoder, [sample_of(again, decoder)])
    return files.load(folder, decoder)[0]


def _stored(context: Context, row: Mapping[Any, Any]) -> Sample:
    """The published image with its annotation, which is that of the accepted or of the rejected ones."""
    root = context.paths.synthetic / ("" if row["accepted"] else REJECTED)
    names = [image.name for image in load_unlabelled(root, row["decoder"])]
    sample = standard_format(*context.task().kind).load(root, row["decoder"])[names.index(row["image"])]
    assert sample.name == row["image"], "both are in the order of the file"
    return sample


def same_annotation(one: Any, other: Any) -> bool:
    """Whether two annotations of the same kind agree in every field, to the last bit."""
    return type(one) is type(other) and all(
        np.array_equal(np.asarray(getattr(one, field.name)), np.asarray(getattr(other, field.name)))
        for field in fields(one)
    )


def _differences(stored: Mapping[Any, Any], again: Mapping[Any, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns of two rows that differ by more than `ROUNDING`; what is not there counts as None."""
    names = [name for name in {**stored, **again} if name not in _PLACES]
    pairs = {name: (_simple(stored.get(name)), _simple(again.get(name))) for name in names}
    return {name: (before, now) for name, (before, now) in pairs.items() if not _same(before, now)}


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=ROUNDING)
    return bool(before == now)


def _simple(value: Any) -> Any:
    """The value as Python has it; a gap in a column is None."""
    return None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _simple(value) for name, value in row.items()}


def _notes(context: Context) -> list[str]:
    """That settings have changed since: the image is drawn with the old ones."""
    lines = changes(synthesize.STAGE, context)
    if not lines:
        return []
    return [
        "params.yaml has changed since the set was made; the image was drawn with the settings of the set:",
        *(f"  {line}" for line in lines),
    ]
