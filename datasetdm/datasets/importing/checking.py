"""Look at every image and annotation of an export. What cannot be used is left out, and counted."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from datasetdm.datasets.importing.category_names import check_names
from datasetdm.datasets.importing.contents import Contents, Picture
from datasetdm.datasets.importing.files import look_at
from datasetdm.datasets.importing.findings import Findings, Loss
from datasetdm.datasets.importing.map_checks import check_depth, check_masks
from datasetdm.datasets.importing.shape_checks import check_shapes
from datasetdm.utils.progress import Progress

MAX_LOST = 0.1  # share of images or objects without which an import stops: what is missing is learnt as background
_CHECKS: dict[str, Callable[[Contents, Findings], Contents]] = {
    "instance": check_shapes,
    "pose": check_shapes,
    "semantic": check_masks,
    "depth": check_depth,
}


def check(contents: Contents, findings: Findings) -> Contents:
    """The part of an export that can be used.

    Args:
        contents: as a reader found it.
        findings: takes what is odd, and what the import cannot do without.
    """
    progress = Progress(len(contents.pictures), "images looked at")
    readable = []
    for number, picture in enumerate(contents.pictures, 1):
        if _is_usable(picture, findings):
            readable.append(picture)
        progress.update(number)
    contents = replace(contents, pictures=tuple(_once_each(readable, findings)))
    contents = _CHECKS[contents.task](contents, findings)
    return check_names(contents, findings)


def check_objects(contents: Contents, findings: Findings) -> None:
    """Note a problem if there are images, but nothing is annotated in any of them."""
    if contents.pictures and not any(picture.shapes or picture.annotation for picture in contents.pictures):
        findings.problem(f"{contents.root} has {len(contents.pictures)} images, but no object that can be used.")


def check_losses(contents: Contents, findings: Findings) -> None:
    """Note a problem if more than a tenth of the images or objects are left out."""
    left: dict[Loss, int] = {
        "image": len(contents.pictures),
        "object": sum(len(picture.shapes) for picture in contents.pictures),
    }
    for kind, kept in left.items():
        lost = findings.lost(kind)
        if lost > MAX_LOST * (lost + kept):
            findings.problem(
                f"{lost} of {lost + kept} {kind}s cannot be used, more than {MAX_LOST:.0%}; the reasons are "
                "below. Correct the export, or take what can be used with --keep-going."
            )
    if not contents.pictures and not findings.problems:
        findings.problem(f"{contents.root} has no image that can be used.")


def _is_usable(picture: Picture, findings: Findings) -> bool:
    look = look_at(picture.file)
    if look.size is None:
        findings.odd("images cannot be read: left out", picture.name, lost="image")
        return False
    if picture.size is None or picture.size == look.size:
        return True
    height, width = look.size
    said = f"{picture.name}: {picture.size[1]} x {picture.size[0]}, is {width} x {height}"
    if picture.size == (width, height):
        findings.odd(
            "images have their sides swapped in the annotation, which did not follow the photo's EXIF orientation "
            "(turn the photos upright with `mogrify -auto-orient` and label those): left out",
            said,
            lost="image",
        )
    else:
        findings.odd(
            "images have another size than the annotation says (put the original images in their place): left out",
            said,
            lost="image",
        )
    return False


def _once_each(pictures: list[Picture], findings: Findings) -> list[Picture]:
    """Every image once: a copy could stand on both sides of the split. The copy with the most objects stays."""
    copies: defaultdict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        copies[look_at(picture.file).digest].append(picture)
    kept = set()
    for same in copies.values():
        best = max(same, key=lambda picture: (len(picture.shapes), picture.subset == "val"))
        kept.add(id(best))
        for other in same:
            if other is not best:
                findings.odd("images are copies of another one: left out", f"{other.name} = {best.name}")
    return [picture for picture in pictures if id(picture) in kept]
