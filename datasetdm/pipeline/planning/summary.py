"""A plan for people, as Markdown, and for programs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasetdm.pipeline.planning.cards import Card
from datasetdm.pipeline.planning.plan import StagePlan
from datasetdm.pipeline.planning.rate import Rate
from datasetdm.pipeline.planning.work import Measure, Work
from datasetdm.utils.progress import duration

BUSY = 0.5  # load for each core above which a measurement says little about an idle machine
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A plan with what it depends on.

    Attributes:
        benchmark: its name.
        device: where it was measured.
        stages: in their order.
        rates: what was measured.
        free: bytes free on the disk.
        load: processes that waited for this machine's cores when the measurement began, for each core.
        card: times are estimated for it, too.
        price: of an hour, in whatever currency.
        start: seconds of the processor that a process takes before it does anything; None: not known.
    """

    benchmark: str
    device: str
    stages: Sequence[StagePlan]
    rates: Mapping[Measure, Rate]
    free: int
    load: float
    card: Card | None = None
    price: float | None = None
    start: float | None = None

    @property
    def parts(self) -> int:
        """Parts that are left, each of which Dagster makes in a new process; a stage without parts is one."""
        return sum(stage.left or 1 for stage in self.stages if stage.runs)

    @property
    def seconds(self) -> float:
        """On this machine."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def card_seconds(self) -> float:
        """On the card."""
        return sum(stage.card_seconds for stage in self.stages)

    @property
    def disk(self) -> float:
        """Bytes that are written."""
        return sum(stage.disk for stage in self.stages)

    @property
    def memory(self) -> int:
        """Bytes that a GPU holds at the most."""
        return max((stage.memory for stage in self.stages), default=0)

    @property
    def cost(self) -> float | None:
        """Of the hours on the card, or on this machine if no card is named."""
        return None if self.price is None else self.price * (self.card_seconds if self.card else self.seconds) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: seconds, bytes, counts."""
        return {
            "benchmark": self.benchmark,
            "device": self.device,
            "load": round(self.load, 2),
            "card": self.card.name if self.card else None,
            "stages": {stage.stage: _stage_to_dict(stage, self.card) for stage in self.stages},
            "rates": {str(measure): asdict(rate) for measure, rate in self.rates.items()},
            "seconds": round(self.seconds, 1),
            "card_seconds": round(self.card_seconds, 1) if self.card else None,
            "gpu_memory": self.memory,
            "disk": round(self.disk),
            "parts": self.parts,
            "start_seconds": None if self.start is None else round(self.start, 1),
            "cost": None if self.cost is None else round(self.cost, 2),
            "complete": not any(stage.unknown for stage in self.stages),
        }

    def text(self) -> str:
        """A table of the stages, and what a person should know."""
        return "\n".join([*_table(self), "", *_remarks(self), ""])


def _stage_to_dict(stage: StagePlan, card: Card | None) -> dict[str, Any]:
    return {
        "parts": stage.units,
        "parts_to_make": stage.left,
        "work": {str(measure): count for measure, count in stage.work.items()},
        "seconds": round(stage.seconds, 1),
        "processor_seconds": round(stage.processor, 1),
        "card_seconds": round(stage.card_seconds, 1) if card else None,
        "gpu_memory": stage.memory,
        "disk": round(stage.disk),
        "from_finished_parts": stage.recorded,
        "unknown": {str(measure): reason for measure, reason in stage.unknown.items()},
    }


def _table(summary: Summary) -> Iterator[str]:
    card = [f"on {summary.card.name}"] if summary.card else []
    heading = ["stage", "now", "work", "time", *card, "GPU memory", "disk"]
    yield _row(heading)
    yield _row(["---", "---", "---", *["---:"] * (len(heading) - 3)])
    for stage in summary.stages:
        cells = [stage.stage, _now(stage)]
        figures = _figures(summary, stage.seconds, stage.card_seconds, stage.memory, stage.disk, bool(stage.unknown))
        yield _row([*cells, _work(stage.work), *figures] if stage.runs else [*cells, "", *[""] * len(figures)])
    incomplete = any(stage.unknown for stage in summary.stages)
    totals = _figures(summary, summary.seconds, summary.card_seconds, summary.memory, summary.disk, incomplete)
    yield _row(["all", "", "", *totals])


def _figures(
    summary: Summary, seconds: float, card_seconds: float, memory: int, disk: float, incomplete: bool
) -> list[str]:
    """The last cells of a row; `incomplete` figures say that they are a part, or a guess."""

    def known(text: str, value: float, but: str) -> str:
        if not incomplete:
            return text
        return f"{but} {text}" if value else "?"

    times = [seconds, card_seconds] if summary.card else [seconds]
    return [
        *(known(duration(time), time, "over") for time in times),
        amount(memory) if memory else "",
        known(amount(disk), disk, "about"),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _now(stage: StagePlan) -> str:
    """In the words of `--dry-run`."""
    if not stage.units:
        return "runs" if stage.runs else "nothing to make"
    return f"{stage.left} of {stage.units} parts to make" if stage.left else "up to date"


def _work(work: Work) -> str:
    counts = {measure: count for measure, count in work.items() if measure is not Measure.OPEN}
    return ", ".join(f"{count:,} {measure}".replace(",", " ") for measure, count in counts.items())


def _remarks(summary: Summary) -> Iterator[str]:
    yield f"Times on this machine ({summary.device}) are from a short calibration" + (
        "; where parts are finished, from what these took." if any(s.recorded for s in summary.stages) else "."
    )
    if summary.start is not None and summary.parts:
        yield (
            f"One process starts within {duration(summary.start)}, which is not in these times. Dagster starts one for "
            f"each of {summary.parts} parts: add {duration(summary.parts * summary.start)} of the processor there."
        )
    if summary.load > BUSY:
        yield (
            f"Other programs keep this machine busy (load {summary.load:.1f} for each core): the times hold while they "
            "do. On an idle machine it is faster."
        )
    if summary.card:
        yield from _card_remarks(summary, summary.card)
    if summary.cost is not None:
        where = summary.card.name if summary.card else "this machine"
        seconds = summary.card_seconds if summary.card else summary.seconds
        most = " at least" if any(stage.unknown for stage in summary.stages) else ""
        yield f"Price:{most} {summary.cost:.2f} for {duration(seconds)} on {where} at {summary.price:g} an hour."
    if summary.disk > summary.free:
        yield (
            f"The disk has {amount(summary.free)} free, less than this takes: free some space, or lower "
            "synthesis.num_images or augmentation.num_images in params.yaml."
        )
    reasons: dict[str, list[str]] = {}
    for stage in summary.stages:
        for measure, reason in stage.unknown.items():
            reasons.setdefault(reason, []).append(f"{measure} ({stage.stage})")
    for reason, parts in reasons.items():
        yield f"Not in these figures: {', '.join(parts)}. {reason}"


def _card_remarks(summary: Summary, card: Card) -> Iterator[str]:
    yield (
        f"Times on {card.title} are an estimate from the number of operations and the rates that its maker states. "
        "What the processor does by itself is taken to be as fast as here. GPU memory is the sum of the tensors in use."
    )
    for stage in summary.stages:
        if not card.holds(stage.memory):
            yield (
                f"{stage.stage} needs {amount(stage.memory)} of GPU memory, and {card.title} has "
                f"{amount(card.memory)}: lower the batch_size of that stage, or choose a larger card."
            )


def amount(size: float) -> str:
    """Bytes in readable form: `40 MB`, `1.2 GB`."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.{int(size < 10 * unit)}f} {name}"
    return f"{size:.0f} B"


def load_of_machine() -> float:
    """Processes that run or wait, for each core, over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
