"""WebDataset: tar files of up to some thousand images, to be read in sequence from any store.

A sample is `<number>.jpg` (or `.png`), `<number>.json` with what is known of it, `<number>.txt` with the caption and,
for maps, `<number>.mask.png` or `<number>.depth.png`; numbers, because a key ends at the first dot of a name.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from datasetdm.datasets.exporting.contents import Item, Split
from datasetdm.datasets.exporting.exporting import Export, png_bytes
from datasetdm.datasets.exporting.rows import facts_of, map_name, row_of

LARGEST = 1 << 28  # bytes of a shard, about
MOST = 10_000  # images of a shard
_SUFFIXES = {".jpeg": ".jpg", ".tiff": ".tif"}


def write_webdataset(export: Export, folder: Path, largest: int = LARGEST) -> None:
    """Shards `<split>-000000.tar`, and `classes.json` with the names of the labels."""
    for split in export.splits:
        _write_shards(export, split, folder, largest)
    names = [category.name for category in export.categories]
    (folder / "classes.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def _write_shards(export: Export, split: Split, folder: Path, largest: int) -> None:
    shards, size, count = 0, 0, 0
    with ExitStack() as opened:
        archive = opened.enter_context(_shard(folder, split, shards))
        for item in export.items(split):
            files = dict(_files(export, item))
            if count and (size > largest or count >= MOST):
                shards, size, count = shards + 1, 0, 0
                archive.close()
                archive = opened.enter_context(_shard(folder, split, shards))
            for name, data in files.items():
                _add(archive, f"{item.id:09d}{name}", data)
                size += len(data)
            count += 1


def _files(export: Export, item: Item) -> Iterator[tuple[str, bytes]]:
    """The files of a sample by what follows its number."""
    suffix = Path(item.name).suffix.lower()
    yield _SUFFIXES.get(suffix, suffix), export.image_bytes(item)
    row = {"file_name": item.name} | row_of(export, item) | facts_of(item)
    yield ".json", json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    yield ".txt", item.caption.encode()
    if kind := map_name(export):
        yield f".{kind}.png", png_bytes(export.map_of(item))


def _shard(folder: Path, split: Split, number: int) -> tarfile.TarFile:
    return tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # no owner and no time: the same samples make the same bytes
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
