"""Where images come from and what licence they have: COCO's `info`, `licenses` and the fields of an image record.

They stay with an image through every set that shows it. A record of one image has the fields itself, as in COCO; a
splice has them once per image that it shows, under `sources`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from datasetdm.annotations.sample import Attribution

SOURCES, SOURCE_INFO = "sources", "source_info"
WRITTEN_HERE = "written by DatasetDM"  # the end of the description that our own files have
FIELDS = ("coco_url", "flickr_url", "url", "date_captured", "author")


def without_attribution(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an image less what `AttributionWriter.record` adds to it."""
    return {key: value for key, value in record.items() if key not in ("license", SOURCES, SOURCE_INFO, *FIELDS)}


class AttributionReader:
    """Attributions of the image records of one file.

    Args:
        content: the file, as JSON has it; values of another type than expected are skipped.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        info = content.get("info")
        self._infos = [_plain(item) for item in _records(info, SOURCES)]  # a file of ours names the data sets there
        if not self._infos and isinstance(info, dict) and WRITTEN_HERE not in str(info.get("description")):
            self._infos = [_plain(info)]
        self._licenses = {
            record["id"]: _plain(record)
            for record in _records(content, "licenses")
            if isinstance(record.get("id"), int | str)
        }

    def of(self, record: Mapping[str, Any]) -> tuple[Attribution, ...]:
        """The attributions in a checked image record, possibly none."""
        found = [self._attribution(part) for part in _records(record, SOURCES) or (record,)]
        return tuple(item for item in found if item.fields or item.license)

    def _attribution(self, record: Mapping[str, Any]) -> Attribution:
        number, origin = record.get("license"), record.get(SOURCE_INFO, 0)
        licence = self._licenses.get(number, {"id": number}) if isinstance(number, int | str) else {}
        return Attribution(
            file_name=str(record.get("file_name", "")),
            fields=_plain({key: record[key] for key in FIELDS if key in record}),
            # Exports fill the place with a licence that has neither name nor address.
            license=licence if licence.keys() - {"id"} else {},
            info=self._infos[origin] if type(origin) is int and 0 <= origin < len(self._infos) else {},
        )


class AttributionWriter:
    """The keys that a file of several images needs; `info` and `licenses` are complete once all records were made."""

    def __init__(self) -> None:
        self._infos: list[Mapping[str, Any]] = []
        self._licenses: dict[int | str, Mapping[str, Any]] = {}

    @property
    def licenses(self) -> list[dict[str, Any]]:
        """The licences of all images, by id."""
        numbered = sorted(self._licenses.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        return [{**record, "id": number} for number, record in numbered]

    @property
    def info(self) -> dict[str, Any]:
        """The data sets that the images come from, under `sources`; empty where none is named."""
        return {SOURCES: [dict(info) for info in self._infos]} if any(self._infos) else {}

    def record(self, attribution: Iterable[Attribution]) -> dict[str, Any]:
        """Keys for the record of an image: its own, or `sources` if it shows several images."""
        items = list(attribution)
        if len(items) == 1:
            return self._keys(items[0])
        return {SOURCES: [{"file_name": item.file_name, **self._keys(item)} for item in items]} if items else {}

    def _keys(self, item: Attribution) -> dict[str, Any]:
        keys = {"license": self._number(item.license)} if item.license else {}
        if item.info not in self._infos:
            self._infos.append(item.info)
        position = self._infos.index(item.info)
        return {**keys, **item.fields, **({SOURCE_INFO: position} if position else {})}

    def _number(self, licence: Mapping[str, Any]) -> int | str:
        """The id of a licence; a new one where another data set has used it for another licence."""
        number, terms = licence["id"], _terms(licence)
        for known, other in self._licenses.items():
            if _terms(other) == terms:
                return known
        while number in self._licenses:
            number = number + 1 if isinstance(number, int) else f"{number}_"
        self._licenses[number] = licence
        return number


def _terms(licence: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in licence.items() if key != "id"}


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that say something: texts that are not empty, and numbers other than 0 (but any id)."""
    return {
        key: value
        for key, value in record.items()
        if (isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)))
        and (value or key == "id")
    }


def _records(content: Any, key: str) -> list[dict[str, Any]]:
    """The records of a list in the content; none if there is no such list."""
    values = content.get(key) if isinstance(content, dict) else None
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
