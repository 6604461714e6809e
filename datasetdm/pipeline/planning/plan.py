"""What each stage of a benchmark still costs: the work that is left, times what one piece of it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.pace import finishing_pace
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.publish import RECORD
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.engine.units import unit_seconds
from datasetdm.pipeline.planning.calibration import Calibration
from datasetdm.pipeline.planning.cards import Card
from datasetdm.pipeline.planning.work import Measure, Planned, Work, finishing_work, units_of
from datasetdm.pipeline.rounds.shard import Shard
from datasetdm.pipeline.stages import STAGES
from datasetdm.pipeline.validate import BYTES_PER_PIXEL
from datasetdm.utils.files import read_json

ALIKE = 0.02  # shares of each kind of work by which units may differ and still be alike


@dataclass(kw_only=True)
class StagePlan:
    """What a stage still costs.

    Attributes:
        stage: its name.
        units: number of its units; 0 if it is a single step.
        left: number of units to make.
        runs: whether it has anything to do.
        work: what is left to do.
        seconds: how long that takes on this machine.
        processor: seconds of the processor in that time, on all cores together, without what is `recorded`.
        card_seconds: how long it would take on the card.
        memory: bytes that a GPU holds at the most.
        disk: bytes that are written.
        recorded: whether the time comes from finished units, instead of a measurement of now.
        unknown: kinds of work that cannot be judged -> why; the figures leave them out.
    """

    stage: str
    units: int
    left: int
    runs: bool
    work: Work = field(default_factory=Work)
    seconds: float = 0.0
    processor: float = 0.0
    card_seconds: float = 0.0
    memory: int = 0
    disk: float = 0.0
    recorded: bool = False
    unknown: dict[Measure, str] = field(default_factory=dict)


def plan_stages(benchmark: Context, calibration: Calibration, card: Card | None) -> Iterator[StagePlan]:
    """The stages in their order.

    Args:
        benchmark: as the project has it.
        calibration: of the same benchmark.
        card: to estimate times for.
    """
    named = _with_categories(benchmark, calibration)
    num_val = _num_val(benchmark, calibration)
    changed: set[str] = set()
    for name, stage in STAGES.items():
        units, made = units_of(name, named, num_val), _made(stage, benchmark, calibration)
        left = {key: unit for key, unit in units.items() if key not in made or unit.after & changed}
        if left:
            changed |= {name, *(f"{name}/{key}" for key in left)}
        runs = bool(left) or not stage.has_units
        found = StagePlan(stage=name, units=len(units) * stage.has_units, left=len(left), runs=runs)
        if runs:
            finished = {key: seconds for key, seconds in made.items() if key not in left and seconds}
            costs = _Costs(found, benchmark, calibration, card)
            costs.add(units, left or units, finished)
            costs.finish(stage, finishing_work(name, named), finishing_pace(stage, benchmark), again=bool(left))
        yield found


class _Costs:
    """Adds up what a stage costs."""

    def __init__(self, plan: StagePlan, benchmark: Context, calibration: Calibration, card: Card | None):
        self._plan, self._calibration, self._card = plan, calibration, card
        self._pixels = {  # of an image that cannot be measured
            Measure.ANNOTATE: benchmark.params.backbone.image_size**2,
            Measure.SPLICE: benchmark.settings.augmentation.max_size**2 / 2,
        }

    def add(self, units: Mapping[str, Planned], left: Mapping[str, Planned], finished: Mapping[str, float]) -> None:
        """The units that are left; those that are like finished ones take as long as these took."""
        for unit in left.values():
            self._plan.work += unit.work
            like = [key for key in finished if _alike(units[key].work, unit.work)]
            if like:
                pieces = sum(units[key].work.total() for key in like)
                seconds = sum(finished[key] for key in like) * unit.work.total() / pieces
                self._plan.recorded = True
                self._work(unit.work, seconds)
            else:
                self._work(unit.work)

    def finish(self, stage: Stage[Context], work: Work, last: float, *, again: bool) -> None:
        """Checking, recording and publishing: at least as long as the last time (seconds; 0 if there was none)."""
        if stage.has_units:
            before = self._plan.seconds
            self._work(work)
            more = max(0.0, last - (self._plan.seconds - before))  # what nothing here measures, such as MLflow
            self._plan.seconds += more
            self._plan.card_seconds += more
        elif last and not again:
            self._plan.seconds = self._plan.card_seconds = last
            self._plan.recorded = True

    def _work(self, work: Work, seconds: float | None = None) -> None:
        """Add work, which takes as long as a calibration says or, if that is known, `seconds`."""
        for measure, count in work.items():
            try:
                rate = self._calibration.rate(measure)
            except DatasetDMError as error:
                self._plan.unknown[measure] = str(error)
                self._plan.disk += count * self._pixels.get(measure, 0) * BYTES_PER_PIXEL
                continue
            self._plan.memory = max(self._plan.memory, rate.memory)
            self._plan.disk += count * rate.disk
            if seconds is None:
                self._plan.seconds += count * rate.seconds
                self._plan.processor += count * rate.processor
            if self._card:
                self._plan.card_seconds += count * self._card.seconds(rate)
        self._plan.seconds += seconds or 0.0


def _made(stage: Stage[Context], benchmark: Context, calibration: Calibration) -> dict[str, float]:
    """The finished units by key, with their seconds (0 if these are not known)."""
    if not stage.has_units:
        return {"": 0.0} if _is_current(stage, benchmark) else {}
    if calibration.rehearsal.downloads:  # naming the units would fetch them
        return {}
    try:
        plan = stage.plan(benchmark)
    except DatasetDMError:  # an input is missing, so that no unit can be there
        return {}
    return {unit.key: seconds_taken(benchmark, unit) for unit in plan if unit.is_finished()}


def seconds_taken(benchmark: Context, unit: Unit) -> float:
    """How long a finished unit took, with the drawing of its images; 0 if that is not known."""
    drawing = unit.payload.drawing(benchmark) if isinstance(unit.payload, Shard) else None
    folders = [*unit.folders, *([drawing] if drawing else [])]
    return sum(map(unit_seconds, folders))


def _is_current(stage: Stage[Context], benchmark: Context) -> bool:
    """Whether the output of a stage without units is there, made with the settings of now as far as it says."""
    output = stage.output(benchmark)
    if not (output / RECORD).is_file():
        return output.is_file()
    return read_json(output / RECORD, remedy="Run the stage again.").get("settings") == stage.settings(benchmark)


def _alike(first: Work, second: Work) -> bool:
    """Whether two units do the same kinds of work in the same proportions."""
    return all(
        abs(first[measure] / first.total() - second[measure] / second.total()) < ALIKE for measure in first | second
    )


def _with_categories(benchmark: Context, calibration: Calibration) -> Context:
    """The benchmark with its categories; without them if there are no data."""
    try:
        return replace(benchmark, paths=calibration.rehearsal.context.paths)
    except DatasetDMError:
        return benchmark


def _num_val(benchmark: Context, calibration: Calibration) -> int:
    """Images of the validation set; 0 if there are no data."""
    try:
        return calibration.rehearsal.num_val
    except DatasetDMError:
        return 0
