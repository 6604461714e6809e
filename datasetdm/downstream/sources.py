"""Where annotated images come from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A set of annotated images.

    Attributes:
        folder: in the standard layout: `images/` and `annotations/<subset>.json`; `Task.load` reads it.
        subset: the name of the set.
        weight: share of a training batch, relative to the other sets.
        until: share of the iterations after which it is no longer used; the others take its share.
    """

    folder: Path
    subset: str
    weight: float = 1.0
    until: float = 1.0

    @property
    def annotation_file(self) -> Path:
        """The file that lists the images."""
        return self.folder / "annotations" / f"{self.subset}.json"

    @property
    def images_dir(self) -> Path:
        """The folder that its file names are relative to."""
        return self.folder / "images"
