"""Where the files of an annotated set lie, whatever its format."""

from pathlib import Path


def annotation_file(root: Path, subset: str) -> Path:
    """The file that lists the images of a set; the pictures are in `<root>/images/`."""
    return root / "annotations" / f"{subset}.json"
