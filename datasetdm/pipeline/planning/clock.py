"""Seconds of the clock, and those of the processor: the latter are the same on a busy machine and on an idle one."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """A time span.

    Attributes:
        clock: as it passed.
        processor: that this process worked in it, on all cores together.
    """

    clock: float
    processor: float

    def __truediv__(self, pieces: float) -> "Seconds":
        return Seconds(self.clock / pieces, self.processor / pieces)

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(max(0.0, self.clock - other.clock), max(0.0, self.processor - other.processor))


def now() -> Seconds:
    """To be subtracted from a later one."""
    return Seconds(time.perf_counter(), time.process_time())
