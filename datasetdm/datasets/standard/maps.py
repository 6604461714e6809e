"""The standard layout of dense annotations: a list of images in JSON, and a PNG with the map of each.

`<root>/annotations/<subset>.json` lists the images with captions, the categories and, per image, the map's file
below `<root>/maps/<subset>/` with its sha256, so that the list stands for the content of the maps.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.described import Described
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import link, read_json, write_image, write_json
from datasetdm.utils.images import image_size, read_image, read_map
from datasetdm.utils.paths import safe_join

MAKE_AGAIN = "Make it again with the stage that wrote it."


@dataclass(frozen=True)
class MapCodec:
    """How a task's annotation becomes a picture and back.

    Attributes:
        encode: the annotation as uint8 or uint16 H x W.
        decode: the annotation, from uint8 or uint16 H x W; ValueError if that is not possible.
        bits: 8 or 16, of the PNG.
    """

    encode: Callable[[Any], np.ndarray]
    decode: Callable[[np.ndarray], Any]
    bits: int


class MapSplit(Sequence[Sample]):
    """The samples of a subset; images and maps are read when a sample is accessed.

    Attributes:
        annotation_file: the list.
        categories: in label order.
    """

    def __init__(self, annotation_file: Path, root: Path, content: dict[str, Any], codec: MapCodec) -> None:
        self.annotation_file = annotation_file
        self.categories = tuple(Category(**record) for record in content["categories"])
        self._root, self._records, self._codec = root, content["images"], codec

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample (or several).

        Raises:
            DatasetDMError: image or map is missing, damaged, changed since it was written, or of another size.
        """
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        record = self._records[index]
        image = read_image(self._image_path(record))
        return Sample(
            name=record["file_name"],
            image=image,
            caption=record.get("caption", ""),
            target=self._target(record, image.shape[:2]),
            image_id=record["id"],
        )

    def described(self, index: int) -> Described:
        """A sample without its pixels; the image file is not opened. Errors as for samples."""
        record = self._records[index]
        size = record["height"], record["width"]
        return Described(
            name=record["file_name"],
            path=self._image_path(record),
            size=size,
            caption=record.get("caption", ""),
            target=self._target(record, size),
        )

    def targets(self) -> Iterator[tuple[str, Any]]:
        """Name and annotation of each image; of the image itself only the header is read. Errors as for samples."""
        for record in self._records:
            yield record["file_name"], self._target(record, image_size(self._image_path(record)))

    def _image_path(self, record: dict[str, Any]) -> Path:
        return safe_join(self._root / "images", record["file_name"])

    def _target(self, record: dict[str, Any], size: tuple[int, ...]) -> Any:
        """The annotation of an image of that size (height, width)."""
        values = self._read_map(record)
        if not size == values.shape == (record["height"], record["width"]):
            raise DatasetDMError(
                f"{self.annotation_file}: {record['file_name']}, its map {record['map']} and its record differ in "
                f"size. {MAKE_AGAIN}"
            )
        try:
            return self._codec.decode(values)
        except ValueError as error:
            raise DatasetDMError(f"{self.annotation_file}: {record['map']}: {error}.") from None

    def _read_map(self, record: dict[str, Any]) -> np.ndarray:
        path = safe_join(self._root / "maps", record["map"])
        try:
            data = path.read_bytes()
        except OSError:
            raise DatasetDMError(
                f"{path} is missing or cannot be read, though {self.annotation_file} lists it."
            ) from None
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise DatasetDMError(
                f"{path} is not the map that {self.annotation_file} describes: it was changed or damaged. Make the set "
                "again with the stage that wrote it."
            )
        return read_map(path, bits=self._codec.bits)


def load_maps(root: Path, subset: str, codec: MapCodec) -> MapSplit:
    """Open a subset as `save_maps` wrote it.

    Raises:
        DatasetDMError: the list is missing, broken, or no such list.
    """
    file, remedy = annotation_file(root, subset), MAKE_AGAIN
    content = read_json(file, remedy=remedy)
    try:
        images = content["images"]
        for record in images:
            _ = record["sha256"], record["width"], record["height"]
            texts = record["file_name"], record["map"], record.get("caption", "")
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a file name, map or caption that is no text")
        ids, names = {record["id"] for record in images}, {record["file_name"] for record in images}
        split = MapSplit(file, root, content, codec)
    except (KeyError, TypeError) as error:
        raise DatasetDMError(f"{file} is no list of dense annotations ({error!r}). {remedy}") from None
    if not len(ids) == len(names) == len(images):
        raise DatasetDMError(f"{file} has an id or a file name twice. {remedy}")
    return split


def save_maps(
    root: Path, subset: str, samples: Iterable[Sample], categories: Sequence[Category], codec: MapCodec
) -> None:
    """Write samples, the same bytes for the same samples; the list appears once all maps are there.

    Args:
        root: images go to `images/` (those that are there already stay), maps to `maps/<subset>/`.
        subset: name of the set.
        samples: taken one at a time. One with `image_id` 0 gets the next free id.
        categories: what the labels refer to.
        codec: how a map becomes a picture.

    Raises:
        DatasetDMError: two samples of the same name (up to the suffix) or id, an annotation of another size than its
            image, or a name that leads out of the folder.
    """
    file = annotation_file(root, subset)
    records: list[dict[str, Any]] = []
    used: set[object] = set()
    highest_id = 0
    for sample in samples:
        image_id = sample.image_id or highest_id + 1
        highest_id = max(highest_id, image_id)
        image = safe_join(root / "images", sample.name)
        name = f"{subset}/{Path(sample.name).with_suffix('.png').as_posix()}"
        for value in (image_id, name):  # a.jpg and a.png would share one map
            if value in used:
                raise DatasetDMError(
                    f"{file}: two images have the id {image_id}, or the name {sample.name} less its suffix. Rename one."
                )
            used.add(value)
        values = codec.encode(sample.target)
        height, width = sample.image.shape[:2]
        if values.shape != (height, width):
            raise DatasetDMError(f"{file}: {sample.name} and its annotation differ in size.")
        if not image.exists():
            write_image(image, sample.image)
        path = safe_join(root / "maps", name)
        write_image(path, values)
        caption = {"caption": sample.caption} if sample.caption else {}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(
            {
                "id": image_id,
                "file_name": sample.name,
                "width": width,
                "height": height,
                "map": name,
                "sha256": digest,
                **caption,
            }
        )
    write_json(file, {"images": records, "categories": [asdict(category) for category in categories]})


def join_maps(root: Path, subset: str, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
    """Put subsets that `save_maps` wrote into several folders together in `root`; maps are linked, images left alone.

    Args:
        root: folder of the whole.
        subset: its name in all folders.
        parts: the folders.
        names: of the images that are taken; None: all.

    Raises:
        DatasetDMError: a part is missing or broken, or two have an image of the same name or id.
    """
    file = annotation_file(root, subset)
    contents = [read_json(annotation_file(part, subset), remedy=MAKE_AGAIN) for part in parts]
    taken = [
        [record for record in content["images"] if names is None or record["file_name"] in names]
        for content in contents
    ]
    records = [record for part in taken for record in part]
    for key in ("id", "map"):
        twice = [value for value, count in Counter(record[key] for record in records).items() if count > 1]
        if twice:
            raise DatasetDMError(f"{file}: two images have the {key} {twice[0]}. Rename one.")
    for part, own in zip(parts, taken, strict=True):
        for record in own:
            link(safe_join(part / "maps", record["map"]), safe_join(root / "maps", record["map"]))
    write_json(file, {"images": records, "categories": contents[0]["categories"]})
