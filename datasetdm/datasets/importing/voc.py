"""A folder in PASCAL VOC's layout: index masks in `SegmentationClass/`, or boxes in XML files.

LabelImg, CVAT and Roboflow call their boxes "Pascal VOC", too. Their XML files lie in `Annotations/` or next to the
images.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from datasetdm.datasets.importing.contents import Contents, Picture, Shape, Subset, numbered
from datasetdm.datasets.importing.files import ImageIndex, subset_of, walk
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.index_masks import find_legend
from datasetdm.datasets.importing.pairs import MapNames, find_pairs
from datasetdm.datasets.native.listing import without_suffix
from datasetdm.datasets.native.voc import MASKS, OFFICIAL_NAME
from datasetdm.datasets.native.voc_names import Legend, read_legend

_FOLDERS = tuple(folder.lower() for folder in MASKS)
_LARGEST_XML = 1 << 22  # bytes; a file of boxes has some kilobytes


def has_masks(root: Path) -> bool:
    """Whether a folder has VOC's images and masks."""
    return (root / "JPEGImages").is_dir() and any((root / folder).is_dir() for folder in MASKS)


def xml_files(root: Path) -> list[Path]:
    """The XML files below a folder that hold boxes as VOC does."""
    files = [root] if root.is_file() else list(walk(root))
    return [file for file in files if file.suffix.lower() == ".xml" and b"<annotation" in file.read_bytes()[:2048]]


def read_voc_masks(root: Path, classes: Path | None, findings: Findings) -> Contents:
    """Read images with index masks, or masks in the colours that CVAT's `labelmap.txt` names.

    The split is that of `ImageSets/Segmentation/`. Without a list of categories the images have to be VOC's own.
    """
    masks = next(folder for folder in MASKS if (root / folder).is_dir())
    names = MapNames(folders=(masks.lower(),), ends=(), suffixes=(".png",))
    others = tuple(folder for folder in ("segmentationobject", *_FOLDERS) if folder != masks.lower())
    found = find_pairs(root, (), names, Findings())
    pairs = [pair for pair in found if Path(pair.name).parts[0].lower() not in others]
    if pairs and all(OFFICIAL_NAME.fullmatch(pair.image.stem) for pair in pairs) and classes is None:
        legend: Legend | None = read_legend(root)
    else:
        legend = find_legend(root, classes, findings)
    lists = _lists(root)
    if lists:
        unlisted = sum(pair.image.stem not in lists for pair in pairs)
        if unlisted:
            findings.odd("images are in no list of ImageSets/Segmentation", "", count=unlisted)
    pictures = [
        Picture(
            file=pair.image,
            name=pair.name,
            annotation=pair.map,
            subset=lists.get(pair.image.stem),
        )
        for pair in pairs
    ]
    categories = () if legend is None else legend.categories
    return Contents(
        task="semantic", categories=categories, pictures=tuple(pictures), root=root, details={"legend": legend}
    )


def read_voc_boxes(files: Sequence[Path], root: Path, images: Sequence[Path], findings: Findings) -> Contents:
    """Read XML files with a box per object."""
    index = ImageIndex([root if root.is_dir() else root.parent, *images])
    pictures = [picture for file in files for picture in _read_xml(file, root, index, findings)]
    labels = sorted({shape.label for picture in pictures for shape in picture.shapes})
    return Contents(task="instance", categories=numbered(labels), pictures=tuple(pictures), root=root)


def _lists(root: Path) -> dict[str, Subset]:
    found: dict[str, Subset] = {}
    for file in sorted((root / "ImageSets" / "Segmentation").glob("*.txt")):
        words: dict[str, Subset] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "val"}
        subset = words.get(file.stem.lower())
        if subset:
            for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
                name = line.strip().strip('"').rpartition("/")[2]
                found[without_suffix(name)] = subset
    return found


def _read_xml(file: Path, root: Path, index: ImageIndex, findings: Findings) -> Iterator[Picture]:
    if file.stat().st_size > _LARGEST_XML:
        findings.problem(f"{file} is too large for a file of boxes. Take it out of the folder.")
        return
    try:
        # ElementTree fetches nothing, and expat limits how far entities grow.
        tree = ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as error:
        findings.problem(f"{file} is not valid XML ({error}). Export it again, or take it out of the folder.")
        return
    name = tree.findtext("filename") or ""
    found = index.find(name, file) if name else []
    if len(found) != 1:  # LabelImg keeps the name of an image that was renamed together with its file
        stems = (f"{file.stem}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".bmp"))
        found = next((files for stem in stems if len(files := index.find(stem, file)) == 1), [])
    if len(found) != 1:
        findings.odd("images are listed but missing: left out", name or file.name, lost="image")
        return
    height, width = (_number(tree.findtext(f"size/{side}")) for side in ("height", "width"))
    yield Picture(
        file=found[0],
        name=name or found[0].name,
        shapes=tuple(_objects(tree, file, findings)),
        size=(int(height), int(width)) if height and width else None,
        subset=subset_of(file.with_suffix(""), root) or subset_of(found[0], root),
    )


def _objects(tree: ElementTree.Element, file: Path, findings: Findings) -> Iterator[Shape]:
    for item in tree.iter("object"):
        label = " ".join((item.findtext("name") or "").split())
        sides = [_number(item.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        if not label or None in sides:
            findings.odd("objects have no name or no box: left out", file.name, lost="object")
            continue
        left, top, right, bottom = (float(side) for side in sides if side is not None)
        yield Shape(label=label, box=(left, top, right - left, bottom - top))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
