"""Near-copies among the images of a benchmark: real ones of sets that must not share an image, and drawn ones.

`ingestion.leaks` refuses images that are the same to the last byte. Near-copies are a person's decision: a data set may
hold two frames of one scene on purpose. So nothing stops because of them; Dagster's checks warn, and `datasetdm copies`
lists them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasetdm.arms import REVIEWED
from datasetdm.datasets.near_copies import Looks, look_at_images, near_copies
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.utils.digests import IMAGE_SUFFIXES
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program

#: A set that is held out -> the sets that may share images with it.
HELD_OUT = {"test": {"test"}, "iid": {"iid"}, "dev": {"dev", "test", "iid"}}
MOST_ALIKE = 0.01  # of drawn images, the share that may look like another one: about as many are false alarms
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Two images that show the same picture: files, the sets that they are of, and how alike their details are."""

    first: Path
    second: Path
    first_sets: str
    second_sets: str
    similarity: float


def copies_of_held_out(real: Path) -> tuple[list[Copy], int]:
    """Images of an ingested folder that are near-copies of one that is held out from them, and how many were compared.

    Raises:
        DatasetDMError: an image is missing or damaged.
    """
    sets = _sets_of(real)
    files = [real / "images" / name for name in sorted(sets)]
    pairs = near_copies(look_at_images(files))
    found = [_copy(files[pair.first], files[pair.second], sets, pair.similarity) for pair in pairs]
    return [copy for copy in found if _leaks(sets[copy.first.name], sets[copy.second.name])], len(files)


def copies_of_drawn(drawn: Path, real: Path) -> tuple[list[Copy], int]:
    """Drawn images that are near-copies of a real or of another drawn one, and how many were drawn; errors as above."""
    files, sets = _images(drawn), _sets_of(real)
    # Those that a person has reviewed are drawn images themselves, or in another set, too.
    known = [real / "images" / name for name in sorted(sets) if sets[name] != {REVIEWED.name}]
    looks: Looks = look_at_images(files)
    among = [(files[pair.first], files[pair.second], pair.similarity) for pair in near_copies(looks)]
    of_real = [
        (files[pair.first], known[pair.second], pair.similarity) for pair in near_copies(looks, look_at_images(known))
    ]
    return [_copy(*pair[:2], sets, pair[2]) for pair in [*of_real, *among]], len(files)


def check_held_out(context: Context, folder: Path) -> dict[str, int]:
    """A check of the stage `ingest`.

    Raises:
        DatasetDMError: there are copies; it names some.
    """
    copies, compared = copies_of_held_out(folder)
    if copies:
        raise DatasetDMError(
            f"{_count(copies)} of images that are held out, which makes the comparison look better than it is: "
            f"{_some(copies)}. Look at them; take one of each out of the source's annotation file and ingest again. "
            f"`{program()} copies {context.benchmark}` lists all."
        )
    return {"compared": compared}


def check_drawn(context: Context, folder: Path) -> dict[str, int]:
    """A check of the stage `synthesize`.

    Raises:
        DatasetDMError: drawn images are copies of real ones, or many are of each other; it names some.
    """
    copies, drawn = copies_of_drawn(folder, context.paths.real)
    of_real = [copy for copy in copies if copy.second_sets]
    alike = {name for copy in copies if not copy.second_sets for name in (copy.first, copy.second)}
    if of_real:
        raise DatasetDMError(
            f"{_count(of_real)} of real images, which the diffusion model may have learnt by heart: {_some(of_real)}. "
            f"If some are of test or dev images, figures on these look better than they are. `{program()} "
            f"copies {context.benchmark}` lists all."
        )
    if len(alike) > MOST_ALIKE * drawn:
        raise DatasetDMError(
            f"{len(alike)} of {drawn} drawn images look like another one, such as {_some(copies)}: more images of this "
            "kind teach little. Vary the prompts (docs/prompts.md), or lower synthesis.sampler.guidance_scale. "
            f"`{program()} copies {context.benchmark}` lists all."
        )
    return {"drawn": drawn, "alike": len(alike)}


def _copy(first: Path, second: Path, sets: dict[str, set[str]], similarity: float) -> Copy:
    return Copy(
        first=first,
        second=second,
        first_sets=", ".join(sorted(sets.get(first.name, ()))),
        second_sets=", ".join(sorted(sets.get(second.name, ()))),
        similarity=similarity,
    )


def _sets_of(real: Path) -> dict[str, set[str]]:
    """Image name -> the sets that it is in."""
    found: dict[str, set[str]] = {}
    for file in sorted((real / "annotations").glob("*.json")):
        for image in read_json(file, remedy="Ingest again.")["images"]:
            found.setdefault(image["file_name"], set()).add(file.stem)
    return found


def _leaks(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether an image of the one sets must not be in the other sets."""
    return any(
        set(other) - apart
        for own, other in ((first, second), (second, first))
        for held_out, apart in HELD_OUT.items()
        if held_out in own
    )


def _images(folder: Path) -> list[Path]:
    """The images of a drawn set, the rejected ones among them."""
    places = [folder / "images", folder / "rejected" / "images"]
    files = {file.name: file for place in reversed(places) if place.is_dir() for file in place.iterdir()}
    return [files[name] for name in sorted(files) if files[name].suffix.lower() in IMAGE_SUFFIXES]


def _count(copies: Sequence[Copy]) -> str:
    return "1 image is a near-copy" if len(copies) == 1 else f"{len(copies)} pairs of images are near-copies"


def _some(copies: Sequence[Copy]) -> str:
    chosen = sorted(copies, key=lambda copy: -copy.similarity)[:_SHOWN]
    return ", ".join(f"{copy.first.name} and {copy.second.name}" for copy in chosen) + (
        ", ..." if len(copies) > len(chosen) else ""
    )
