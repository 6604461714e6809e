"""Names for exported images: each once, and of characters that other systems and tools take."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from datasetdm.datasets.importing.file_names import short_name
from datasetdm.datasets.importing.files import normal
from datasetdm.datasets.native.listing import IMAGE_SUFFIXES

_FORBIDDEN = re.compile(r'[<>:"|?*\\/]')  # by Windows


class Names:
    """Gives out names.

    No two names differ in their suffix alone (labels have another one), in capital letters, or in the Unicode form.

    Args:
        plain: blanks become `_`, for formats whose lists are split at blanks.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._used: set[str] = set()
        self._numbers: dict[str, int] = {}

    def name(self, wanted: str, prefix: str, suffix: str | None = None) -> str:
        """A name for an image.

        Args:
            wanted: its present name; folders become part of the new one.
            prefix: where it comes from, put in front if another image has the name.
            suffix: of the new name; None: the present one.
        """
        path = PurePosixPath(wanted)
        suffix = path.suffix if suffix is None else suffix
        if suffix.lower() not in IMAGE_SUFFIXES:
            suffix = ".png"  # any: readers look at what a file holds
        stem = self._clean(path.with_suffix("").as_posix())
        name = next(name for name in self._candidates(stem, prefix, suffix) if _key(name) not in self._used)
        self._used.add(_key(name))
        return name

    def _candidates(self, stem: str, prefix: str, suffix: str) -> Iterator[str]:
        yield short_name(stem, suffix)
        longer = f"{self._clean(prefix)}_{stem}"
        yield short_name(longer, suffix)
        while True:  # counts on from the last number, so that many images of one name take no longer
            number = self._numbers[longer] = self._numbers.get(longer, 1) + 1
            yield short_name(f"{longer}_{number}", suffix)

    def _clean(self, text: str) -> str:
        text = "".join(sign if sign.isprintable() else "_" for sign in _FORBIDDEN.sub("_", text))
        return re.sub(r"\s", "_", text) if self._plain else text.strip() or "_"


def _key(name: str) -> str:
    return normal(PurePosixPath(name).stem)
