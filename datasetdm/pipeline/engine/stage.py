"""What a stage is, and what it asks of the project that it runs in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.utils.digests import digest


class Project(Protocol):
    """What the engine needs to know of the context that it hands to every stage."""

    @property
    def name(self) -> str:
        """What the chain of stages is called in messages and file names."""

    @property
    def work(self) -> Path:
        """The folder of units, locks and notes."""

    def settings_of(self, own: Sequence[str], shared: Sequence[str]) -> dict[str, Any]:
        """Settings by key, ready for JSON: the chain's own (`a.b`: `b` in the section `a`), and those of all chains."""

    def check_log(self) -> None:
        """Raise `DatasetDMError` if the experiment log could not record results now."""

    def log_identity(self) -> str | None:
        """What the experiment log is known by: a result is recorded again if it changes. None: nothing is there yet."""


P = TypeVar("P", bound=Project)


def _all_used(project: Any) -> Sequence[str]:
    return ()


def _no_units(project: Any) -> Iterable[Unit]:
    return ()


def _make_no_unit(project: Any, unit: Unit) -> None:
    """Never called: the plan of a stage without units is empty."""


def _always_whole(output: Path) -> bool:
    return True


def _restore_nothing(output: Path) -> None:
    """Never called: the output is always whole."""


def _rests_on_nothing(project: Any, plan: Plan) -> Iterable[Path]:
    return ()


def _needs_nothing(project: Any) -> None:
    return None


def _describe_nothing(project: Any, output: Path) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Check(Generic[P]):
    """Something that must hold of a stage's output; run before it is published, and by Dagster.

    Advice does not hold up a publication: Dagster runs it, and warns.

    Attributes:
        name: short, in snake case.
        description: what is promised, in a sentence.
        run: looks at a folder and returns what it counted; raises `DatasetDMError` if the promise does not hold.
        advice: whether a person has to decide what is wrong, so that it is not run before a publication.
    """

    name: str
    description: str
    run: Callable[[P, Path], dict[str, int]]
    advice: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[P]):
    """One step of a chain.

    Attributes:
        name: the verb, as the command line and DVC call it.
        asset: the noun: Dagster's asset is `<asset>_<project>`.
        description: one sentence for people.
        upstream: the stages whose outputs it reads.
        parameters: the keys of the chain's own settings that it depends on.
        shared_parameters: the keys of the settings that all chains share, likewise.
        further_work: the kinds of finished work, folders next to that of its units, which `rests_on` may name.
        rests_on: what the units of a plan are made from and what lies there: work that is kept as long as they are.
        unused: those of `parameters` that make no difference to a project, because of its other settings.
        code_version: to be changed when changed code makes other outputs of the same inputs; everything that the stage
            has made is out of date then.
        units: the units, made or not; none if the stage is a single step.
        make: makes one unit; safe to repeat, and to run several times at once.
        finish: puts the units together, publishes and records the output.
        output: the published path.
        checks: what must hold of the output before it is published.
        check_ready: raises `DatasetDMError` if this machine lacks what the stage needs besides its inputs. A run asks
            all its stages before the first of them begins; the answer takes no time.
        describe: what the record of a published folder says of its contents.
        is_whole: whether the published path has more than the files that version control tracks and has brought back.
        restore: makes it whole from these files.
    """

    name: str
    asset: str
    description: str
    upstream: tuple["Stage[P]", ...]
    parameters: tuple[str, ...]
    shared_parameters: tuple[str, ...] = ()
    code_version: str
    finish: Callable[[P, Plan], StageResult]
    output: Callable[[P], Path]
    units: Callable[[P], Iterable[Unit]] = _no_units
    make: Callable[[P, Unit], None] = _make_no_unit
    checks: Sequence[Check[P]] = ()
    check_ready: Callable[[P], None] = _needs_nothing
    describe: Callable[[P, Path], dict[str, Any]] = _describe_nothing
    is_whole: Callable[[Path], bool] = _always_whole
    restore: Callable[[Path], None] = _restore_nothing
    unused: Callable[[P], Sequence[str]] = _all_used
    further_work: tuple[str, ...] = ()
    rests_on: Callable[[P, Plan], Iterable[Path]] = _rests_on_nothing

    def __post_init__(self) -> None:
        if (self.units is _no_units) != (self.make is _make_no_unit):
            raise TypeError(f"The stage {self.name} needs both `units` and `make`, or neither.")

    @property
    def has_units(self) -> bool:
        """Whether the work is cut into units."""
        return self.units is not _no_units

    def plan(self, project: P) -> Plan:
        """All units. This may take seconds: make a plan once, and keep it."""
        return Plan(self.units(project))

    def folder(self, project: P, *parts: Any) -> Path:
        """Where the unit lies that depends on `parts` (see `digest`) and on the code of this stage."""
        return project.work / self.name / digest(self.code_version, *parts)

    def settings(self, project: P) -> dict[str, Any]:
        """The settings that it depends on, by key."""
        unused = self.unused(project)
        return project.settings_of([key for key in self.parameters if key not in unused], self.shared_parameters)
