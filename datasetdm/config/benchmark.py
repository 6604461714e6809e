"""A benchmark's block of `params.yaml`, the file as a whole, and the rules between sections and blocks."""

import inspect
import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, field_validator, model_validator

from datasetdm.arms import ARMS
from datasetdm.config.adapters import Adaptation
from datasetdm.config.backbone import Backbone
from datasetdm.config.base import Section, Seed, Text
from datasetdm.config.data import DataSource, Ingest
from datasetdm.config.experiment import Experiment
from datasetdm.config.publication import Publication
from datasetdm.config.synthesis import Augmentation, Prompts, Synthesis
from datasetdm.config.tasks import TaskSettings
from datasetdm.config.training import Decoder, Downstream
from datasetdm.decoder_methods import METHODS
from datasetdm.errors import DatasetDMError
from datasetdm.layouts import LAYOUTS
from datasetdm.task_parts import TASKS

# Names that Dagster reserves; its assets and jobs are named after benchmarks.
_DAGSTERS = frozenset(
    {"context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict", "int", "str"}
    | {"float", "bool", "input", "output", "type", *keyword.kwlist}
)
ASSETS = ("real", "adapted", "p_decoder", "prompts", "synthetic", "pseudo", "augmented", "downstream", "comparison")
_PREFIX = re.compile(rf"(?:{'|'.join(ASSETS)}|(?:plan|unit|finish)_[a-z_]+)")


class Benchmark(Section):
    """One row of the results table."""

    task: TaskSettings = Field(description="`instance`, or a block with a `name` and the settings of that task")
    seeds: tuple[Seed, ...] = Field(min_length=1, description="Labelled subset and initialisation")
    source: DataSource = Field(description="The real data")
    ingest: Ingest = Field(description="Sizes of the image sets")
    adapt: Adaptation | None = Field(
        None, description="Train a LoRA on unlabelled images first; null: use the diffusion model as it is"
    )
    decoder: Decoder = Field(description="The P-Decoder and its training")
    prompts: Prompts = Field(description="The prompts for the diffusion model")
    synthesis: Synthesis = Field(description="The synthetic set")
    augmentation: Augmentation = Field(description="Spliced images")
    downstream: Downstream = Field(description="The ordinary model that each arm trains")
    experiment: Experiment = Field(description="Which arms are compared")
    publication: Publication = Field(Publication(), description="What a published set says of licences and authors")
    study: dict[str, Any] = Field(
        default_factory=dict,
        description="`make study` overrides settings of the benchmark with it, after those of the block `study`",
    )

    @field_validator("task", mode="before")
    @classmethod
    def _task_by_name(cls, task: Any) -> Any:
        return {"name": task} if isinstance(task, str) else task

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"is {list(seeds)}; it lists a seed twice")
        return seeds

    @model_validator(mode="after")
    def _sections_agree(self) -> "Benchmark":
        if found := disagreements({name: getattr(self, name) for name in type(self).model_fields}):
            raise ValueError("\n".join(found))
        return self


def valid_sections(block: Any) -> dict[str, Any]:
    """The sections of a benchmark's block that are valid, even if others are not."""
    if not isinstance(block, dict):
        return {}
    sections: dict[str, Any] = {}
    for name, field in Benchmark.model_fields.items():
        value = {"name": block[name]} if name == "task" and isinstance(block.get(name), str) else block.get(name)
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
            sections[name] = adapter.validate_python(value)
        except ValueError:
            continue
    return sections


def disagreements(sections: Mapping[str, Any]) -> list[str]:
    """Contradictions between sections, as `<setting> <problem>`. Rules about absent sections are skipped."""
    found: list[str] = []
    for rule in _RULES:
        needed = inspect.signature(rule).parameters
        if needed.keys() <= sections.keys():
            found += rule(**{name: sections[name] for name in needed})
    return found


def _task_fits_source(task: TaskSettings, source: DataSource) -> Iterator[str]:
    for name, one in (("source", source), ("source.decoder", source.decoder)):
        if one is not None and (held := LAYOUTS[one.format].task) != task.name:
            yield (
                f"{name}.format is '{one.format}', which holds annotations for the task '{held}', not for '{task.name}'"
            )


def _prompts_name_what_the_decoder_predicts(task: TaskSettings, decoder: Decoder) -> Iterator[str]:
    if decoder.category_from_prompt and not task.finds_categories:
        yield f"decoder.category_from_prompt is true, but '{task.name}' has no categories that prompts could name"


def _method_fits_task(task: TaskSettings, decoder: Decoder, synthesis: Synthesis) -> Iterator[str]:
    method = METHODS[decoder.method]
    if method.masks_of_words and not TASKS[task.name].word_masks:
        fitting = " and ".join(f"'{name}'" for name, parts in TASKS.items() if parts.word_masks)
        yield (
            f"decoder.method is '{decoder.method}', which finds a mask for each word: that serves {fitting}, not "
            f"'{task.name}'; choose p_decoder"
        )
    if method.self_attention and synthesis.extraction == "last_step":
        yield (
            f"decoder.method is '{decoder.method}', which reads a pass after the image is drawn, but "
            "synthesis.extraction is 'last_step'; choose renoised"
        )


def _readings_can_be_had(task: TaskSettings, decoder: Decoder, synthesis: Synthesis) -> Iterator[str]:
    reading, lowest = decoder.reading, synthesis.filter.min_agreement
    if reading is not None and synthesis.extraction == "last_step":
        yield (
            "decoder.reading asks for several readings, but synthesis.extraction is 'last_step', which is a single "
            "one; choose renoised, or remove decoder.reading"
        )
    if reading is not None and reading.attention and not TASKS[task.name].word_masks:
        yield (
            "decoder.reading.attention is true, which finds a mask for each word, but the task is "
            f"'{task.name}'; remove it"
        )
    if reading is not None and reading.attention and METHODS[decoder.method].masks_of_words:
        yield (
            "decoder.reading.attention joins the P-Decoder with attention, but decoder.method is "
            f"'{decoder.method}'; remove one of them"
        )
    if lowest is not None and lowest.attention and not (reading and reading.attention):
        yield "synthesis.filter.min_agreement.attention is set, but decoder.reading.attention is not"
    if lowest is not None and lowest.flip and not (reading and reading.flip):
        yield "synthesis.filter.min_agreement.flip is set, but decoder.reading.flip is not"
    if lowest is not None and lowest.timestep and not (reading and reading.timesteps):
        yield "synthesis.filter.min_agreement.timestep is set, but decoder.reading.timesteps is not"


def _drawing_and_reading_are_two_passes(adapt: Adaptation | None, synthesis: Synthesis) -> Iterator[str]:
    if adapt is None or adapt.reading_scale in (None, adapt.scale):
        return
    if synthesis.extraction == "last_step":
        yield (
            f"adapt.reading_scale is {adapt.reading_scale:g}, but synthesis.extraction is 'last_step', which reads "
            "while it draws; choose renoised, or remove adapt.reading_scale"
        )


def _subjects_have_their_new_names(source: DataSource, prompts: Prompts) -> Iterator[str]:
    for subject in prompts.subjects:
        if subject in source.names and subject not in source.names.values():
            yield f"prompts.subjects has '{subject}', which source.names calls '{source.names[subject]}'"


def _arms_have_what_they_need(ingest: Ingest, experiment: Experiment) -> Iterator[str]:
    for arm in experiment.arms:
        needs = ARMS[arm]
        if needs.further_images and ingest.num_oracle == 0:
            yield f"experiment.arms has '{arm}' but ingest.num_oracle is 0"
        if needs.teacher and needs.teacher not in experiment.arms:
            yield f"experiment.arms has '{arm}' but not '{needs.teacher}', whose model is its teacher"


def _tail_images_have_a_tail(task: TaskSettings, ingest: Ingest) -> Iterator[str]:
    tail = getattr(task, "tail", ())
    if ingest.tail_images is not None and not tail:
        yield f"ingest.tail_images is {ingest.tail_images} but task.tail names no category"
    elif ingest.tail_images is not None and ingest.tail_images > ingest.num_real:
        yield f"ingest.tail_images is {ingest.tail_images}, more than the {ingest.num_real} images of ingest.num_real"


def _miniworld_has_enough(source: DataSource, ingest: Ingest) -> Iterator[str]:
    world = source.miniworld
    if world is None:
        return
    asked = ingest.num_real + ingest.num_dev + ingest.num_oracle + ingest.num_iid
    if asked > world.num_train:
        yield (
            f"source.miniworld.num_train is {world.num_train}, but ingest asks for {asked} training images (num_real + "
            "num_dev + num_oracle + num_iid)"
        )
    if (ingest.num_test or 0) > world.num_val:
        yield f"source.miniworld.num_val is {world.num_val}, but ingest.num_test asks for {ingest.num_test}"


def _labels_can_be_promised(task: TaskSettings, ingest: Ingest, synthesis: Synthesis) -> Iterator[str]:
    settings = synthesis.filter
    if settings.target_precision is None:
        return
    if TASKS[task.name].judge is None:
        yield f"synthesis.filter.target_precision is set, but '{task.name}' has no scores that could be calibrated"
    if ingest.num_dev < settings.fewest_tested:
        yield (
            f"synthesis.filter.target_precision is {settings.target_precision:g}, which takes {settings.fewest_tested} "
            f"dev images without a single error, but ingest.num_dev is {ingest.num_dev}: raise it, promise less, or "
            "set score_threshold"
        )


def _objects_can_be_ignored(task: TaskSettings, synthesis: Synthesis, downstream: Downstream) -> Iterator[str]:
    if task.name == "instance":
        return
    if synthesis.filter.ignore_threshold is not None:
        instead = "; task.min_certainty does it for pixels" if task.name == "semantic" else ""
        yield f"synthesis.filter.ignore_threshold is set, which is for the task 'instance', not '{task.name}'{instead}"
    if downstream.hide_ignored:
        yield f"downstream.hide_ignored is true, which is for the task 'instance', not for '{task.name}'"


_RULES: tuple[Callable[..., Iterator[str]], ...] = (
    _task_fits_source,
    _prompts_name_what_the_decoder_predicts,
    _method_fits_task,
    _readings_can_be_had,
    _drawing_and_reading_are_two_passes,
    _subjects_have_their_new_names,
    _arms_have_what_they_need,
    _tail_images_have_a_tail,
    _miniworld_has_enough,
    _labels_can_be_promised,
    _objects_can_be_ignored,
)


def task_settings(description: Any) -> TaskSettings:
    """The settings of a task from plain data, such as the `config.json` of a trained decoder."""
    settings: TaskSettings = TypeAdapter(TaskSettings).validate_python(description)
    return settings


class Params(Section):
    """The whole of `params.yaml`."""

    device: Text = Field(
        default="auto", description="auto, cpu, cuda, cuda:1, ...; of the diffusion model and of downstream models"
    )
    backbone: Backbone = Field(description="The diffusion model")
    benchmarks: dict[str, Benchmark] = Field(min_length=1, description="A name and a block for each benchmark")
    study: dict[str, Any] = Field(
        default_factory=dict,
        description="`make study` overrides the settings of every benchmark with it",
    )

    def benchmark(self, name: str) -> Benchmark:
        """The block of benchmark `name`; a clear error if there is none."""
        try:
            return self.benchmarks[name]
        except KeyError:
            known = ", ".join(sorted(self.benchmarks))
            raise DatasetDMError(f"params.yaml has no benchmark '{name}'. It has: {known}.") from None


def misnamed(names: list[Any]) -> Iterator[str]:
    """Problems with benchmark names, which become folders, experiments, and assets and jobs of Dagster."""
    for name in names:
        if not isinstance(name, str):
            yield f"benchmarks.{name} has a name that YAML does not read as text: put it in quotes"
        elif not re.fullmatch(r"[A-Za-z0-9_]+", name):
            better = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
            yield (
                f"benchmarks.{name}: use only letters, digits and _, because Dagster's assets have this name"
                + (f"; try {better}" if better else "")
            )
        elif name in _DAGSTERS or name == "leaderboard":
            yield f"benchmarks.{name}: Dagster needs this name for something else; choose another"
        elif (base := name.removesuffix("_study")) != name and base in names:
            yield f"benchmarks.{name}: the study of the benchmark {base} has this name in MLflow; choose another"
        else:
            ends = [f"_{other}" for other in names if name.endswith(f"_{other}")]
            if owners := [end[1:] for end in ends if _PREFIX.fullmatch(name.removesuffix(end))]:
                yield f"benchmarks.{name}: Dagster uses this name in the chain of {owners[0]}; choose another"
