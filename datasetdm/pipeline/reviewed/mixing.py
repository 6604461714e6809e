"""What an arm is trained on where a person has corrected labels.

The corrected labels join the labelled images. What they correct is left out, so that no image has two labels, and the
drawn images are spliced again, with those that were corrected among them. These sets are a unit next to the trainings:
the published sets stay what their stages have made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from datasetdm.annotations.sample import Sample
from datasetdm.arms import ARMS, DRAWN, LABELLED, REVIEWED, Source
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.reviewed.store import DRAWN_NAMES, NOTE, REVIEWABLE, corrected_images, has_reviewed
from datasetdm.pipeline.training import Group, with_labelled
from datasetdm.pipeline.unlabelled_images import save_labelled
from datasetdm.transforms.splice import augment
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link

CODE_VERSION = "1"
WORK = "corrected"  # folder of the units
_TO_SPLICE = "to_splice"


def mixes_reviewed(context: Context, arm: str) -> bool:
    """Whether an arm is trained on corrected labels: there are some, and it takes them."""
    return ARMS[arm].with_reviewed and has_reviewed(context.paths.real)


def corrected_folder(context: Context, arm: str, seed: int) -> Path:
    """Where the sets of an arm lie without what was corrected, or will lie.

    Raises:
        DatasetDMError: a set is missing.
    """
    sets = AnnotatedSets()
    parts = []
    for source in [REVIEWED, *_sources(arm)]:
        root, subset = getattr(context.paths, source.output), source.subset(seed)
        if not annotation_file(root, subset).exists():
            raise missing(context, annotation_file(root, subset), source.stage)
        parts.append([subset, sets.identity(root, subset)])
    settings = context.settings
    name = digest(CODE_VERSION, parts, context.paths.real / NOTE, settings.task, settings.augmentation)
    return context.paths.work(WORK) / name


def corrected_groups(context: Context, arm: str, seed: int, folder: Path) -> list[Group]:
    """As `train_downstream` has them: shares of a batch, with their sets."""
    stage = "train_downstream"
    labelled = [(folder, LABELLED.subset(seed), stage), (context.paths.real, REVIEWED.name, REVIEWED.stage)]
    others = [(folder, _name(source, seed), stage) for source in ARMS[arm].sources]
    return with_labelled(context, labelled, others)


def make_corrected(context: Context, arm: str, seed: int, folder: Path) -> None:
    """Make the sets in `corrected_folder`, unless they are there."""
    task, settings = context.task(), context.settings
    files = standard_format(*task.kind)
    corrected = corrected_images(context.paths.real)

    def without_corrected(source: Source) -> Iterator[Sample]:
        known = [name for name, reviewable in REVIEWABLE.items() if reviewable == source]
        left_out = set().union(*(corrected.get(name, set()) for name in known))
        samples = files.load(getattr(context.paths, source.output), source.subset(seed))
        return (sample for sample in samples if sample.name not in left_out)

    def to_splice(source: Source, images: Path) -> Iterator[Sample]:
        """The drawn images, and those of them that were corrected, which are linked into the folder `images`."""
        for sample in without_corrected(source):
            yield replace(sample, image_id=0)
        for sample in files.load(context.paths.real, REVIEWED.name):
            if source == DRAWN and sample.name.startswith(DRAWN_NAMES):
                link(context.paths.real / "images" / sample.name, images / sample.name)
                yield replace(sample, image_id=0)  # another set may have its id, too

    def work(temporary: Path) -> None:
        for source in _sources(arm):
            images = getattr(context.paths, source.output) / "images"
            if source.spliced_from is None:
                save_labelled(task, temporary, _name(source, seed), without_corrected(source), images)
                continue
            files.save(temporary, _TO_SPLICE, to_splice(source.spliced_from, temporary / "images"))
            tiles: Sequence[Sample] = files.load(temporary, _TO_SPLICE)
            spliced = augment(tiles, settings.augmentation, prefix=_name(source, seed)) if len(tiles) else ()
            files.save(temporary, _name(source, seed), spliced)

    make_unit(folder, work)


def _sources(arm: str) -> list[Source]:
    """All sets that an arm is trained on."""
    return [LABELLED, *ARMS[arm].sources]


def _name(source: Source, seed: int) -> str:
    """The name of a set in the folder, where sets of several outputs lie."""
    return LABELLED.subset(seed) if source == LABELLED else f"{source.output}_{source.subset(seed)}"
