"""Hold out validation images where the export does not: whole groups, at random, with every category on both sides."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from datasetdm.datasets.importing.contents import Contents, Picture
from datasetdm.datasets.importing.findings import Findings

_TRIES = 50  # random splits, of which the one with the most even categories is taken
# A copy that Roboflow has augmented; a frame of a video; something that was filmed or photographed several times.
_GROUPS = (
    re.compile(r"(?P<group>.+)\.rf\.[0-9a-f]{8,}"),
    re.compile(r"(?P<group>.+?)(?:[\W_]*frame|[\W_]+(?:frm|fr|f))[\W_]?\d+", re.I),
    re.compile(
        r"(?P<group>(?:.*?[\W_])?(?:video|vid|clip|sequence|seq|scene|drive|session|patient|case|subject)"
        r"[\W_]?\w*?\d+)(?:[\W_].*)?",
        re.I,
    ),
)


@dataclass(frozen=True)
class Divided:
    """How the images were divided: a sentence for the report, and the groups of the training images."""

    contents: Contents
    sentence: str


def split(contents: Contents, share: float, seed: int, group_by: str | None, findings: Findings) -> Divided:
    """Give every picture a side of the split.

    Args:
        contents: checked.
        share: of the images that are held out, about.
        seed: decides which.
        group_by: a regular expression; images whose paths have the same text in its first group stay together.
            None: names that tell, such as `video_001_frame_12`.
        findings: takes a problem, if the pictures cannot be divided.
    """
    sides = Counter(picture.subset for picture in contents.pictures)
    if sides["train"] and sides["val"]:
        pictures = tuple(replace(picture, subset=picture.subset or "train") for picture in contents.pictures)
        held_out = sum(picture.subset == "val" for picture in pictures)
        sentence = f"split of the export: {len(pictures) - held_out} for training, {held_out} held out"
        _report_one_sided(pictures, findings)
        return Divided(replace(contents, pictures=pictures), sentence)
    groups = [group_of(picture.name, group_by) for picture in contents.pictures]
    names = sorted(set(groups))
    if len(names) < 2:
        if contents.pictures:
            findings.problem(
                f"All images that can be used ({len(groups)}) are of one group ({names[0]}), so that none can be held "
                "out: add others, name a validation file with --val, or say with --group-by what belongs together."
            )
        return Divided(contents, "")
    held = _best_split(contents.pictures, groups, share, seed)
    pictures = tuple(
        replace(picture, subset="val" if group in held else "train")
        for picture, group in zip(contents.pictures, groups, strict=True)
    )
    count = sum(picture.subset == "val" for picture in pictures)
    grouped = f" in {len(names)} groups ({', '.join(names[:3])}, ...)" if len(names) < len(groups) else ""
    _report_one_sided(pictures, findings)
    sentence = f"split at random (seed {seed}){grouped}: {len(pictures) - count} for training, {count} held out"
    return Divided(replace(contents, pictures=pictures), sentence)


def group_of(name: str, pattern: str | None = None) -> str:
    """What an image has in common with others that look like it, by its path; the path itself if nothing."""
    if pattern is not None:
        match = re.search(pattern, name)
        return (match[1] if match.groups() else match[0]) if match else name
    path = PurePosixPath(name.replace("\\", "/"))
    for expression in _GROUPS:
        for text in (path.stem, *(part for part in reversed(path.parts[:-1]))):
            if match := expression.fullmatch(text):
                return match["group"]
    return name


def _best_split(pictures: Sequence[Picture], groups: Sequence[str], share: float, seed: int) -> set[str]:
    """The groups that are held out: of some random choices the one that has each category in the same share."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    labels = sorted({shape.label for picture in pictures for shape in picture.shapes})
    counts = np.zeros((len(pictures), len(labels) + 1))
    counts[:, -1] = 1  # images themselves count as a category
    for row, picture in enumerate(pictures):
        for shape in picture.shapes:
            counts[row, labels.index(shape.label)] += 1
    total = counts.sum(axis=0).clip(1)
    names, rng = sorted(members), np.random.default_rng(seed)
    best, least = {names[0]}, np.inf
    for _ in range(_TRIES):
        held: set[str] = set()
        taken = np.zeros(len(labels) + 1)
        for name in rng.permutation(names).tolist():
            if held and taken[-1] >= share * len(pictures):
                break
            if len(held) + 1 < len(names):
                held.add(name)
                taken += counts[members[name]].sum(axis=0)
        distance = float(np.abs(taken / total - share).mean())
        if distance < least:
            best, least = held, distance
    return best


def _report_one_sided(pictures: Sequence[Picture], findings: Findings) -> None:
    sides: dict[str | None, set[str]] = {"train": set(), "val": set()}
    for picture in pictures:
        sides[picture.subset] |= {shape.label for shape in picture.shapes}
    for name in sorted(sides["val"] - sides["train"]):
        findings.odd("categories are among the held-out images alone, where nothing can be learnt", name)
    for name in sorted(sides["train"] - sides["val"]):
        findings.odd("categories are among the training images alone, so that no test counts them", name)
