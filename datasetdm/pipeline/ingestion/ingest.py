"""A few labelled images, a dev set, an oracle set and the test sets, out of a data set's native layout."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from datasetdm import config
from datasetdm.datasets.naming import check_same, rename, tell_apart
from datasetdm.datasets.native import open_split
from datasetdm.datasets.object_counts import check_drawn, check_losses, without_example
from datasetdm.datasets.split import Split
from datasetdm.pipeline.ingestion.rendering import render_miniworld
from datasetdm.pipeline.ingestion.subsets import decoder_subsets, draw_subsets
from datasetdm.pipeline.ingestion.writing import write_subsets
from datasetdm.prompts.synonyms import with_synonyms
from datasetdm.tasks import build_task
from datasetdm.utils.collector import collector_paused
from datasetdm.utils.files import write_json


@collector_paused()
def ingest(
    source: config.DataSource,
    settings: config.Ingest,
    task_settings: config.TaskSettings,
    seeds: Sequence[int],
    out: Path,
) -> dict[str, int | float]:
    """Write the standard layout of a benchmark's real data.

    `out/images/` (files copied as they are, each name preceded by that of its native folder),
    `out/annotations/{few_shot_<seed>, dev, oracle, iid, test}.json`, `out/categories.json` and `out/ingest.json`.
    Captions are the data set's own (where there are several, one by seed), else "a photo of a ..., a ...".
    Memory holds the records of the annotation files and, at a time, one image and one mask.

    `ingest.json` has, for every task and for each set (`few_shot_<seed>`, `dev`, ..., `test`), a block of
        images: number of images; images_without_objects and captions_written_here: of these.
        objects: annotated objects that are used; if the task has no separate objects (semantic maps, scenes of depth),
            pairs of an image and a category in it, the background aside.
        objects_per_category: {name: number of these}, with every category of `categories.json`, be it with 0. What
            `task.unseen` hides from the decoder is counted.
        crowds, boxes_only: regions that are left out, see `Tally`.
        rejected_by_reason: {reason: objects that are left out}; rejected: each of them, and each part of an object
            (`partly`), as a `Rejection`.

    Args:
        source: where the real data are; the miniworld is rendered there first if it stands in for them. With
            `source.decoder`, sets `decoder_<seed>` of as many images come from there.
        settings: how many images of each set.
        task_settings: what is annotated.
        seeds: one few-shot set each.
        out: an empty or missing folder.

    Returns:
        Number of images per set, categories, the fewest few-shot objects of any category that a prompt may name,
        and how many such categories have none for some seed.

    Raises:
        DatasetDMError: no or broken data, fewer images than asked for, images that cannot be used (all of them are
            counted), categories that read the same, more objects lost than `ingest.max_lost` allows.
    """
    train, val = open_data(source, "train"), open_data(source, "val")
    check_same(train, val, "Give both the same categories; order and `supercategory` do not matter.")
    train.categories = with_synonyms(train.categories, source.synonyms)
    val.categories = train.categories
    decoder = open_data(source.decoder, "train") if source.decoder else None
    check_losses([train, val] + ([] if decoder is None else [decoder]), settings.max_lost)
    task = build_task(task_settings, train.categories)
    subsets = draw_subsets(train, val, settings, task, seeds, source.root)
    if decoder is not None:
        subsets |= decoder_subsets(decoder, train, settings, task, seeds)
    figures = write_subsets(task, subsets, out)
    check_drawn(figures, settings.max_lost)
    write_json(out / "categories.json", [asdict(category) for category in train.categories])
    write_json(out / "ingest.json", figures)
    named = [category.name for category in task.subjects]
    few_shot = [figures[f"few_shot_{seed}"]["objects_per_category"] for seed in seeds]
    return {
        **{f"{name}_images": figure["images"] for name, figure in figures.items()},
        "categories": len(train.categories),
        "fewest_few_shot_objects": min((counts[name] for counts in few_shot for name in named), default=0),
        "categories_without_example": len(without_example(figures, named)),
        "rejected_annotations": sum(len(figure["rejected"]) for figure in figures.values()),
    }


def open_data(source: config.Source, split: Literal["train", "val"]) -> Split:
    """The training or validation images of a source; the miniworld is rendered first if it stands in for data.

    Raises:
        DatasetDMError: no or broken data, or categories that read the same.
    """
    if source.miniworld:
        render_miniworld(source.root, source.format, source.miniworld)
    opened = open_split(source.format, source.root, split)
    opened.crowds = source.crowds
    opened.categories = rename(opened, source.names)
    return tell_apart(opened, merge=source.merge_same_names)
