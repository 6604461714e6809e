"""What is measured: our way and a reference, in the same run on the same machine."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Our figure next to the reference's.

    Attributes:
        ours: the figure.
        reference: the same of the reference.
        unit: of both.
        higher_is_better: as for images a second; else as for seconds.
        of: what was compared with what.
        details: settings and further figures.
    """

    ours: float
    reference: float
    unit: str
    higher_is_better: bool
    of: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.reference if self.higher_is_better else self.reference / self.ours

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "ours": round(self.ours, 4),
            "reference": round(self.reference, 4),
            "unit": self.unit,
            "ratio": round(self.ratio, 2),
            "of": self.of,
            **self.details,
        }


def seconds_of(work: Callable[[], Any]) -> float:
    """How long the work takes."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def cost_of(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock, and seconds of the processor, which other programs on the machine change less."""
    began = time.process_time()
    seconds = seconds_of(work)
    return seconds, time.process_time() - began


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of several ways, run in turn so that a busy moment of the machine hits all of them.

    What a first call has to set up is not counted.
    """
    for work in ways.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            taken[name].append(seconds_of(work))
    return {name: statistics.median(values) for name, values in taken.items()}


def alone(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Seconds and peak memory (GB) of a function in a new process; it has to be importable.

    The seconds are what the function returns, or those of the whole call if it returns nothing.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *arguments).result()


def _measured(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    own = work(*arguments)
    seconds = time.perf_counter() - began if own is None else own
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
