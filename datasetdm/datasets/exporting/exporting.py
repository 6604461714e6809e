"""Make an export: all of it at once or not at all, over nothing but an older export."""

import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasetdm.annotations.sample import Attribution, Category
from datasetdm.datasets.exporting.contents import Contents, Item, SourceSet, Split
from datasetdm.datasets.exporting.names import Names
from datasetdm.datasets.standard.described import Described
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import link, read_json, remove_leftovers, replacing, write_image, write_json
from datasetdm.utils.images import is_turned, read_image
from datasetdm.utils.leases import lease
from datasetdm.utils.progress import Progress

RECORD = "datasetdm_export.json"  # in every export; written last


class Export:
    """An export in the making: its images one by one, and what happens to them on the way.

    Args:
        contents: what is exported.
        copy: copy image files; False: hard links, where the disk allows them.
        plain_names: names of images without blanks.

    Attributes:
        lost: what the format cannot hold, counted by kind.
    """

    def __init__(self, contents: Contents, *, copy: bool = False, plain_names: bool = False) -> None:
        self.contents = contents
        self.lost: Counter[str] = Counter()
        self._copy, self._names, self._done = copy, Names(plain=plain_names), 0
        self._progress = Progress(contents.count(), "images exported")

    @property
    def categories(self) -> tuple[Category, ...]:
        """In label order."""
        return self.contents.categories

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that have images."""
        return self.contents.splits

    def items(self, split: Split) -> Iterator[Item]:
        """The images of a split; a format goes through each split once, in the order of `splits`.

        Raises:
            DatasetDMError: a file is missing or damaged.
        """
        for part in self.contents.sets:
            if part.split == split:
                for described in part.describe():
                    yield self._item(part, described)
                    self._done += 1
                    self._progress.update(self._done)

    def _item(self, part: SourceSet, described: Described) -> Item:
        turned = is_turned(described.path)
        prefix = f"{part.benchmark}_{part.name}"
        target = described.target if part.table is None else described.target.relabelled(part.table)
        return Item(
            id=self._done + 1,
            name=self._names.name(described.name, prefix, ".png" if turned else None),
            path=described.path,
            upright=not turned,
            size=described.size,
            caption=described.caption,
            target=target,
            split=part.split,
            benchmark=part.benchmark,
            set=part.name,
            attribution=_licensed(described, part),
            columns=part.columns.get(described.name, {}),
        )

    def place(self, item: Item, folder: Path) -> None:
        """Put the image file into a folder; a photo that EXIF turns is written upright, as PNG."""
        target = folder / item.name
        if not item.upright:
            write_image(target, read_image(item.path))
        elif self._copy:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item.path, target)
        else:
            link(item.path.resolve(), target)

    def image_bytes(self, item: Item) -> bytes:
        """The image file's content, upright as in `place`."""
        return item.path.read_bytes() if item.upright else png_bytes(read_image(item.path))

    def map_of(self, item: Item) -> np.ndarray:
        """The annotation as a map, uint8 or uint16, H x W."""
        assert self.contents.codec is not None
        return self.contents.codec.encode(item.target)

    def lose(self, what: str, count: int = 1) -> None:
        """Count something that the format cannot hold."""
        if count:
            self.lost[what] += count


def export(
    contents: Contents,
    write: Callable[[Export, Path], None],
    out: Path,
    *,
    copy: bool = False,
    plain_names: bool = False,
    facts: dict[str, Any] | None = None,
) -> Counter[str]:
    """Fill the folder `out`, which appears once all of it is written. An older export there is replaced.

    Args:
        contents: what is exported.
        write: fills a folder; of a `formats.Format`.
        out: the folder.
        copy: see `Export`.
        plain_names: see `Export`.
        facts: what else `RECORD` says.

    Returns:
        What the format cannot hold, counted by kind.

    Raises:
        DatasetDMError: `out` is there and is not an export, or an image is missing or damaged.
    """
    check_target(out)
    out = out.resolve()  # of a link, the folder that it leads to
    with lease(out.with_name(f".{out.name}.lease")):
        check_target(out)
        remove_leftovers(out)
        work = Export(contents, copy=copy, plain_names=plain_names)
        with replacing(out) as folder:
            folder.mkdir()
            write(work, folder)
            written = sorted(path.name for path in folder.iterdir())
            write_json(folder / RECORD, {**(facts or {}), **_record(contents, work), "files": written})
    return work.lost


def check_target(out: Path) -> None:
    """Check that `out` may be replaced: it is not there, is empty, or is an export as it was written.

    Raises:
        DatasetDMError: it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / RECORD).is_file():
        raise DatasetDMError(
            f"{out} is there and is no export of DatasetDM, so it stays as it is. Choose another --out, such as "
            f"{out / 'export'}, or move it away."
        )
    known = read_json(out / RECORD, remedy=f"Move {out} away, or choose another --out.")
    files = known.get("files", []) if isinstance(known, dict) else []
    added = sorted({path.name for path in out.iterdir()} - {*files, RECORD})
    if added:
        raise DatasetDMError(
            f"{out} is an older export, but holds {', '.join(added[:3])}{', ...' if len(added) > 3 else ''}, which the "
            "export did not write and would remove. Move that away, or choose another --out."
        )


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG file's content; `image` as for `write_image`."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, format="png")
    return stream.getvalue()


def _licensed(described: Described, part: SourceSet) -> tuple[Attribution, ...]:
    """The attributions of an image, each with a licence if the set has one for images that come without."""
    known = described.attribution or (Attribution(file_name=described.name),)
    return tuple(item if item.license else replace(item, license=part.license) for item in known)


def _record(contents: Contents, work: Export) -> dict[str, Any]:
    """What an export is. Its keys are not those of COCO JSON, for which readers of whole folders would take it."""
    return {
        "task": contents.task,
        **contents.details,
        "sets": [
            {"benchmark": part.benchmark, "set": part.name, "split": part.split, "count": part.count}
            for part in contents.sets
        ],
        "classes": [
            {"label": label, **{key: value for key, value in asdict(category).items() if value not in ("", ())}}
            for label, category in enumerate(contents.categories)
        ],
        "lost": dict(work.lost),
    }
