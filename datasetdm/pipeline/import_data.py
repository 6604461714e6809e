"""`datasetdm import`: an export of a labelling tool becomes a data set in `data/raw` and a block of params.yaml."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasetdm.config import Params
from datasetdm.config.benchmark import misnamed
from datasetdm.datasets.importing import exports
from datasetdm.datasets.importing.checking import check, check_losses, check_objects
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.files import look_at
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.shape_checks import box_polygon
from datasetdm.datasets.importing.splitting import split
from datasetdm.datasets.importing.writing import FORMATS, write
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.benchmark_block import Block, make_block
from datasetdm.pipeline.paths import RAW

BOXES_REMEDY = (
    "Draw masks in the labelling tool (CVAT, Label Studio, Roboflow and labelme have a tool that segments boxes with "
    "SAM), give a model here with --sam facebook/sam-vit-base, or, if the objects fill their boxes, use the boxes as "
    "masks with --boxes as_masks."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an export is imported; see the options of the command.

    Attributes:
        name: of the benchmark, and of the folder in `data/raw`.
        layout: a key of `exports.EXPORTS`; None: recognise it.
        val_share: share of the images that are held out, if the export has no split.
        seed: decides which.
        group_by: a regular expression for images that belong together.
        boxes: `ignore`, or `as_masks`.
        sam: a model that segments boxes; None: none.
        device: of that model.
        keep_going: import what can be used, however much cannot.
        replace: replace what was imported under this name before.
    """

    name: str
    layout: str | None = None
    val_share: float = 0.2
    seed: int = 0
    group_by: str | None = None
    boxes: str = "ignore"
    sam: str | None = None
    device: str = "auto"
    keep_going: bool = False
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did: the folder, the report for a person, and the block for params.yaml."""

    folder: Path
    report: list[str] = field(default_factory=list)
    block: Block


def import_data(request: exports.Request, options: Options, params: Params) -> Imported:
    """Read, check, split and write an export; nothing is written if it cannot be used.

    Raises:
        DatasetDMError: all that is wrong, in one message.
    """
    if problems := [line for line in misnamed([*params.benchmarks, options.name]) if f".{options.name}:" in line]:
        raise DatasetDMError(f"--name {options.name}: {problems[0].partition(': ')[2]}.")
    folder = RAW / options.name
    if folder.exists() and not options.replace:
        raise DatasetDMError(
            f"{folder} exists: something was imported under this name before. Choose another --name, or replace it "
            "with --replace."
        )
    for path in request.paths:
        if path.resolve().is_relative_to(folder.resolve()):
            raise DatasetDMError(
                f"{path} lies in {folder}, which the import would replace: move the export elsewhere, or choose "
                "another --name."
            )
    findings = Findings()
    look_at.cache_clear()  # files may have changed since another import
    with tempfile.TemporaryDirectory(prefix="datasetdm-import-") as cache:
        contents, report = exports.read(replace(request, cache=Path(cache)), options.layout, findings)
        contents = check(contents, findings)
        check_objects(contents, findings)
        contents = _with_masks(contents, options, findings)
        if not options.keep_going:
            check_losses(contents, findings)
        divided = split(contents, options.val_share, options.seed, options.group_by, findings)
        findings.raise_problems()
        block = make_block(divided.contents, options.name, folder, FORMATS[contents.task], params, options.group_by)
        write(divided.contents, folder, options.group_by)
    report += [*_summary(divided.contents), divided.sentence]
    if lines := list(findings.lines()):
        report += ["What is odd:", *lines]
    return Imported(folder=folder, report=report, block=block)


def _with_masks(contents: Contents, options: Options, findings: Findings) -> Contents:
    """Objects with a box alone get a mask, if the user says how; else a word about them."""
    if contents.task != "instance":
        return contents
    if options.boxes == "as_masks":
        return _boxes_as_masks(contents)
    if options.sam is not None:
        from datasetdm.datasets.importing.box_masks import BoxSegmenter, segment_boxes  # torch takes seconds to import

        contents = segment_boxes(contents, BoxSegmenter(options.sam, options.device), findings)
    shapes = [shape for picture in contents.pictures for shape in picture.shapes if not shape.crowd]
    bare = sum(shape.segmentation is None for shape in shapes)
    if bare and (bare == len(shapes) or (bare > 0.1 * len(shapes) and not options.keep_going)):
        findings.problem(
            f"{bare} of the {len(shapes)} objects have a box but no mask, and instance segmentation learns masks. "
            f"{BOXES_REMEDY}"
        )
    elif bare:
        findings.odd("objects have a box but no mask: regions that are neither learnt nor counted", "", count=bare)
    return contents


def _boxes_as_masks(contents: Contents) -> Contents:
    pictures = tuple(
        replace(
            picture,
            shapes=tuple(
                replace(shape, segmentation=box_polygon(shape.box))
                if shape.segmentation is None and shape.box
                else shape
                for shape in picture.shapes
            ),
        )
        for picture in contents.pictures
    )
    return replace(contents, pictures=pictures)


def _summary(contents: Contents) -> list[str]:
    objects = sum(len(picture.shapes) for picture in contents.pictures)
    names = [category.name for category in contents.categories]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    counted = f", {objects} objects" if objects else ""
    images = f"{len(contents.pictures)} images{counted}"
    if "unit" in contents.details:
        farthest = f"depth: up to {contents.details['farthest']:.3g} m; {contents.details['unit'].reason}"
        return [f"{images} of a {shown}; task: {contents.task}", farthest]
    categories = "1 category" if len(names) == 1 else f"{len(names)} categories"
    return [f"{images} of {categories} ({shown}); task: {contents.task}"]
