"""Prompts that cover what there is to learn: templates in real company, a choice out of many, a report."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from datasetdm.annotations.sample import Category
from datasetdm.diffusion import find_weights
from datasetdm.diffusion.text_encoder import TextEncoder, fingerprint
from datasetdm.diffusion.words import unknown_words, words_in
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.labelled_objects import objects_per_image
from datasetdm.pipeline.prompt_subjects import shortened, subjects
from datasetdm.pipeline.text_limits import cut_by_others, text_limits
from datasetdm.prompts import choose_subjects, write_prompts
from datasetdm.prompts.aspects import find_aspects
from datasetdm.prompts.mentions import Word, asked_counts
from datasetdm.prompts.selection import select, wanted_shares
from datasetdm.prompts.synonyms import word_of
from datasetdm.prompts.variety import balance_figures, company_figures, distinct_ngrams, embedding_figures
from datasetdm.utils.digests import digest, file_digest
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.progress import say

MOST_EMBEDDED = 1000  # prompts whose embeddings are compared for the report; they are spread over the table


def template_prompts(context: Context, named: Sequence[Category]) -> pd.DataFrame:
    """What the templates write about the categories, in the company and within the limit that the settings ask for."""
    settings = context.settings.prompts
    images = objects_per_image(context) if settings.companions == "real" else []
    if settings.companions == "real" and not any(images):
        say("The labelled images have no categories, so things of the same scene share a prompt.")
    limits = text_limits(context)
    limited = settings.keeps_to_limit and limits.tokenizer is not None
    return write_prompts(named, settings, images, limits.fits if limited else lambda text: True)


def select_prompts(context: Context, candidates: pd.DataFrame) -> pd.DataFrame:
    """The prompts that `prompts.selection` chooses, with new ids; all candidates if there is no selection."""
    settings = context.settings.prompts
    if settings.selection is None:
        return candidates
    names = [category.name for category in subjects(context)]
    shown = Counter(name for image in objects_per_image(context) for name, count in image.items() if count)
    listed = [set(text.split(";")) for text in candidates["categories"]]
    prompts = candidates["prompt"].tolist()
    chosen = select(
        candidates,
        np.array([[name in row for name in names] for row in listed], dtype=bool),
        find_aspects(prompts),
        _embeddings(context, prompts),
        number=settings.num_prompts,
        shares=wanted_shares(settings.selection.balance, np.array([shown[name] for name in names])),
        duplicates=settings.selection.duplicates,
    )
    if len(chosen) < settings.num_prompts:
        say(
            f"{len(chosen)} prompts instead of {settings.num_prompts}: the others of the {len(candidates)} candidates "
            "are too much like these. For more, raise prompts.selection.candidates or prompts.selection.duplicates."
        )
    return candidates.iloc[chosen].assign(id=range(len(chosen))).reset_index(drop=True)


def measure_variety(context: Context, frame: pd.DataFrame) -> dict[str, float]:
    """The figures of `variety.FIGURES` of a table of prompts; they are also kept next to the table, for the report.

    Prompts that the text encoder cannot read to their end, or whose words it does not know, are reported.
    """
    prompts, listed = frame["prompt"].tolist(), [list(filter(None, names.split(";"))) for names in frame["categories"]]
    named = Counter(name for names in listed for name in names)
    known = choose_subjects(context.task().subjects, context.settings.prompts)
    words = {category.name: word_of(category) for category in known}
    figures = {
        "prompts": float(len(frame)),
        "distinct": float(frame["prompt"].nunique()),
        **_length_figures(context, prompts),
        **distinct_ngrams(prompts),
        **_embedding_figures(context, prompts),
        **balance_figures({name: named[name] for name in {*named, *(one.name for one in subjects(context))}}),
        **company_figures(
            [_asked(prompt, names, words) for prompt, names in zip(prompts, listed, strict=True)],
            objects_per_image(context),
        ),
    }
    table = context.paths.prompts
    write_json(context.paths.variety, {"table": file_digest(table).hex(), "figures": figures})
    return figures


def known_variety(context: Context) -> dict[str, float]:
    """The figures as they were measured; none if the table has changed since, or was never measured."""
    table, file = context.paths.prompts, context.paths.variety
    if not (table.is_file() and file.is_file()):
        return {}
    known: dict[str, Any] = read_json(file, remedy="Remove it, and run the stage write_prompts again.")
    return dict(known["figures"]) if known["table"] == file_digest(table).hex() else {}


def _asked(prompt: str, names: Sequence[str], words: dict[str, Word]) -> dict[str, int]:
    """The objects that a prompt asks for; a category counts as one where the text does not say how many."""
    counts = asked_counts(prompt, [words[name] for name in names])
    return {name: counts.get(index) or 1 for index, name in enumerate(names)}


def _length_figures(context: Context, prompts: Sequence[str]) -> dict[str, float]:
    """`too_long`, `unknown_words`, `vocabulary_used`; nothing if the model is not on this machine yet."""
    limits = text_limits(context)
    used = limits.vocabulary_used(prompts)
    if used is None:
        return {}
    cut = [prompt for prompt in prompts if not limits.fits(prompt)]
    if cut:
        say(
            f"{len(cut)} of {len(prompts)} prompts are longer than the {limits.max_tokens} tokens that the text "
            f"encoder reads, and will be cut off: '{cut[0]}'. Shorten them in {context.paths.prompts}, or lower "
            "prompts.max_objects."
        )
    unknown = unknown_words(limits.tokenizer, prompts)
    having = sum(not set(unknown).isdisjoint(words_in(prompt)) for prompt in prompts)
    if having:
        say(
            f"{having} of {len(prompts)} prompts have words that the text encoder does not know, and so cannot be "
            f"drawn: {shortened(unknown)}. Replace them in {context.paths.prompts}."
        )
    for sentence in cut_by_others(context, prompts):
        say(sentence)
    return {"too_long": float(len(cut)), "unknown_words": float(having), "vocabulary_used": used}


def _embedding_figures(context: Context, prompts: Sequence[str]) -> dict[str, float]:
    """The figures that need the text encoder; none if it is not on this machine yet, or cannot be used."""
    if not (Path(context.params.backbone.path) / "model_index.json").is_file():
        return {}
    step = -(-len(prompts) // MOST_EMBEDDED)
    try:
        return embedding_figures(_embeddings(context, prompts[::step]))
    except DatasetDMError as error:
        say(f"The prompts' embeddings are not compared: {error}")
        return {}


def _embeddings(context: Context, prompts: Sequence[str]) -> np.ndarray:
    """See `TextEncoder.embed`; computed once."""
    backbone = context.params.backbone
    unit = context.paths.work("embed_prompts") / digest(fingerprint(backbone, find_weights(backbone)), list(prompts))

    def work(folder: Path) -> None:
        encoder = TextEncoder.load(backbone, context.params.device)
        save_file({"embeddings": encoder.embed(prompts)}, folder / "embeddings.safetensors")

    make_unit(unit, work)
    return load_file(unit / "embeddings.safetensors")["embeddings"]
