"""What became of the annotated objects: how many are used, which are not and why, and which categories have none.

An object that is left out is background to whatever learns from the image, and a detection of it a mistake. So it is
counted, and when too many are left out, ingestion stops.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasetdm.datasets.split import Split
from datasetdm.errors import DatasetDMError

CROWDS, BOXES_ONLY = "crowd regions (`iscrowd: 1`)", "with a box but no mask"
MOST_LISTED, MOST_NAMED = 100, 20  # categories in a table and in a sentence
_REMEDIES = {
    CROWDS: "If the crowd regions are single objects, as CVAT exports painted masks, set `source.crowds: as_objects`.",
    BOXES_ONLY: "Draw masks for the boxes (a promptable segmentation model makes them from boxes), or take the images "
    "with boxes alone out of the file.",
}


def check_losses(splits: Iterable[Split], limit: float) -> None:
    """Check that no split loses more than a share `limit` of its objects; no image is read for it.

    Raises:
        DatasetDMError: more is lost: how many, for which reasons, and what to do.
    """
    problems = []
    for split in splits:
        used, lost = _totals(split)
        share = lost.total() / max(used + lost.total(), 1)
        if share > limit:
            problems.append(
                f"{split.annotation_file}: {lost.total()} of its {used + lost.total()} objects ({share:.0%}) would be "
                f"left out: {_by_reason(lost)}. "
                + " ".join(_REMEDIES[key] for key in _REMEDIES if lost[key] * 10 >= lost.total())
            )
    if problems:
        raise _too_many(problems, limit)


def check_drawn(figures: Mapping[str, Mapping[str, Any]], limit: float) -> None:
    """Check what was drawn: of all sets together no more than a share `limit` may cover no pixel, or be rejected.

    Args:
        figures: the content of `ingest.json`.
        limit: share in [0, 1].

    Raises:
        DatasetDMError: more is lost.
    """
    rejected: Counter[str] = Counter()
    for figure in figures.values():
        rejected.update(figure["rejected_by_reason"])
    used = sum(figure["objects"] for figure in figures.values())
    share = rejected.total() / max(used + rejected.total(), 1)
    if share > limit:
        text = (
            f"{rejected.total()} of {used + rejected.total()} objects ({share:.0%}) of the chosen images would be left "
            f"out: {_by_reason(rejected)}. Coordinates have to be in pixels, counted from the upper left corner; a "
            "polygon needs three points or more."
        )
        raise _too_many([text], limit)


def tables(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Title -> Markdown table of what each set has: objects and what is left out, and objects per category."""
    heads = ["set", "images", "without objects", "objects", "crowds", "boxes only", "rejected"]
    keys = ["images", "images_without_objects", "objects", "crowds", "boxes_only"]
    rows = [
        [name, *(figure[key] for key in keys), _by_reason(Counter(figure["rejected_by_reason"])) or 0]
        for name, figure in figures.items()
    ]
    names = list(next(iter(figures.values()))["objects_per_category"])
    counts = [[name, *(figure["objects_per_category"].get(name, 0) for figure in figures.values())] for name in names]
    shown = counts[:MOST_LISTED]
    if len(counts) > MOST_LISTED:
        shown.append([f"and {len(counts) - MOST_LISTED} more (ingest.json)", *("" for _ in figures)])
    return {"Objects": _markdown(heads, rows), "Objects per category": _markdown(["category", *figures], shown)}


def without_example(figures: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """Those of the named categories that lack in the decoder's labelled images of at least one seed."""
    prefix = "decoder_" if any(name.startswith("decoder_") for name in figures) else "few_shot_"
    sets = [figure["objects_per_category"] for name, figure in figures.items() if name.startswith(prefix)]
    return [name for name in names if not all(counts.get(name, 0) for counts in sets)]


def remarks(figures: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """Lines for people: objects of each set by category, what is left out, which of the named categories have none."""
    lines = []
    for name, figure in figures.items():
        lost = Counter(figure["rejected_by_reason"])
        lost += Counter({CROWDS: figure["crowds"], BOXES_ONLY: figure["boxes_only"]})
        counts = Counter(figure["objects_per_category"]).most_common()
        used = _shortened([f"{category} {count}" for category, count in counts if count])
        left_out = f"; left out: {_by_reason(lost)}" if lost else ""
        lines.append(f"{name}: {figure['images']} images, {figure['objects']} objects ({used}){left_out}")
    if lacking := without_example(figures, names):
        lines.append(
            f"categories without a labelled example in some few-shot set: {len(lacking)} ({_shortened(lacking)})"
        )
    return lines


def _shortened(items: Sequence[str]) -> str:
    more = [f"and {len(items) - MOST_NAMED} more"] if len(items) > MOST_NAMED else []
    return ", ".join([*items[:MOST_NAMED], *more])


def _totals(split: Split) -> tuple[int, Counter[str]]:
    """Objects that are used, and those that are not by reason."""
    used, lost = 0, Counter({CROWDS: 0, BOXES_ONLY: 0})
    for index in range(len(split)):
        tally = split.tally_of(index)
        used += tally.objects
        lost[CROWDS] += tally.crowds
        lost[BOXES_ONLY] += tally.boxes_only
        if tally.rejected:
            lost.update(tally.rejected)
    return used, lost


def _by_reason(lost: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in lost.most_common() if count)


def _too_many(problems: Sequence[str], limit: float) -> DatasetDMError:
    return DatasetDMError(
        f"{' '.join(problems)} What is left out would be learnt and judged as background. To go on all the same, set "
        f"`ingest.max_lost` in params.yaml, now {limit:g}, to a larger share."
    )


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    numbers = "|".join(["---", *("---:" for _ in heads[1:])])
    lines = [f"| {' | '.join(heads)} |", f"|{numbers}|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]) + "\n"
