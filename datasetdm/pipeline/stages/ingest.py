"""Stage `ingest`: the few labelled images, the dev, oracle and test sets, out of the native layout."""

from pathlib import Path

from datasetdm.arms import REVIEWED
from datasetdm.datasets.object_counts import remarks, tables
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.downstream.weights import weights_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import describe_sets
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.ingestion.ingest import ingest
from datasetdm.pipeline.ingestion.leaks import check_no_leak
from datasetdm.pipeline.near_copies import check_held_out
from datasetdm.pipeline.paths import BACKBONES
from datasetdm.pipeline.reviewed.store import add_reviewed, has_reviewed
from datasetdm.utils.digests import IMAGE_SUFFIXES, digest
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.program import program
from datasetdm.utils.progress import say

CODE_VERSION = "1"


def subsets(context: Context) -> list[str]:
    """The names of the annotation files that ingestion writes."""
    few_shot = [f"few_shot_{seed}" for seed in context.seeds]
    oracle = ["oracle"] if context.settings.ingest.num_oracle else []
    iid = ["iid"] if context.settings.ingest.num_iid else []
    decoder = [f"decoder_{seed}" for seed in context.seeds] if context.settings.source.decoder else []
    return [*few_shot, *decoder, "dev", *oracle, *iid, "test"]


def finish(context: Context, plan: Plan) -> StageResult:
    """Select, copy and check: the whole stage, as it takes seconds."""
    settings = context.settings
    if settings.downstream.pretrained is not None:
        weights_file(settings.downstream.pretrained)  # say now what is missing, not hours later
    with publish_checked(STAGE, context) as folder:
        metrics = ingest(
            settings.source,
            settings.ingest,
            settings.task,
            context.seeds,
            folder,
        )
        reviewed = add_reviewed(context.paths.reviews, folder)
        if elsewhere := weights_elsewhere(context):
            write_json(folder / "weights.json", elsewhere)
    figures = read_json(context.paths.real / "ingest.json", remedy="Ingest again.")
    if reviewed:
        say(f"{reviewed} images whose labels a person has corrected, from {context.paths.reviews}")
        metrics |= {"reviewed_images": reviewed}
    for line in remarks(figures, [category.name for category in context.task().subjects]):
        say(line)
    return StageResult(metrics={key: float(value) for key, value in metrics.items()}, tables=tables(figures))


def weights_elsewhere(context: Context) -> dict[str, str]:
    """Setting -> digest of the local weights that it names, for those outside data/backbones.

    DVC watches data/backbones. For weights anywhere else, the stages that read them depend on this note.
    """
    backbone = context.params.backbone
    adapter = backbone.ip_adapter
    named = {
        "backbone.path": backbone.path,
        "downstream.pretrained": context.settings.downstream.pretrained or "",
        **{f"backbone.loras.{number}": lora.path for number, lora in enumerate(backbone.loras)},
        **({"backbone.ip_adapter": adapter.path, "backbone.ip_adapter.images": str(adapter.images)} if adapter else {}),
    }
    places = {setting: Path(name).resolve() for setting, name in named.items() if name and Path(name).exists()}
    return {
        setting: digest([(str(file.relative_to(place)), file) for file in _weight_files(place)])
        for setting, place in places.items()
        if BACKBONES.resolve() not in place.parents
    }


def _weight_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    suffixes = {".json", ".safetensors", ".txt", *IMAGE_SUFFIXES}  # images: those that an IP-Adapter refers to
    return sorted(file for file in folder.rglob("*") if file.suffix in suffixes)


def _check_annotations(context: Context, folder: Path) -> dict[str, int]:
    task = context.task_of(folder)
    corrected = [REVIEWED.name] if has_reviewed(folder) else []
    names = [*subsets(context), *corrected]
    return {subset: standard_format(*task.kind).check(folder, subset)["images"] for subset in names}


def _check_no_leak(context: Context, folder: Path) -> dict[str, int]:
    if not annotation_file(folder, "test").exists():
        raise DatasetDMError(f"{folder} has no test set: run `{program()} ingest {context.benchmark}` again.")
    return check_no_leak(folder)


STAGE: Stage[Context] = Stage(
    name="ingest",
    asset="real",
    description="The few labelled images and the dev, oracle and test sets, taken out of the data set's native layout.",
    upstream=(),
    parameters=("task", "seeds", "source", "ingest"),
    code_version=CODE_VERSION,
    finish=finish,
    output=lambda context: context.paths.real,
    describe=lambda context, folder: describe_sets(folder),
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images.",
            run=_check_annotations,
        ),
        Check(
            name="no_test_image_in_training",
            description="No test image, by name or by content, is in a set that training or choices read.",
            run=_check_no_leak,
        ),
        Check(
            name="no_copy_of_held_out_image",
            description="No image is nearly the same as one that is held out from its set: saved again, in another "
            "size, cut at the edges, mirrored, brighter or darker.",
            run=check_held_out,
            advice=True,
        ),
    ),
)
