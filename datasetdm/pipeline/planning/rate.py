"""How long one piece of work takes: measured by doing it a few times."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from datasetdm.pipeline.planning.clock import Seconds, now
from datasetdm.pipeline.planning.counting import counting

BUDGET = 4.0  # seconds of repeats
MOST = 20  # repeats
SLOW = 60.0  # seconds of the processor, above which a step is not repeated


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What one image, view or iteration takes.

    Attributes:
        seconds: on this machine.
        processor: seconds of the processor, on all cores together.
        flops: floating-point operations.
        launches: operations that a GPU would be sent.
        host: seconds of `seconds` that the processor works on its own, whatever the GPU: files, augmentation.
        memory: bytes that the device holds at the most, the same for any number of images.
        disk: bytes that stay on disk.
        precision: of the products.
    """

    seconds: float
    processor: float
    flops: float = 0.0
    launches: float = 0.0
    host: float = 0.0
    memory: int = 0
    disk: float = 0.0
    precision: str = "float32"


def measure(step: Callable[[], int], device: torch.device, *, budget: float = BUDGET, most: int = MOST) -> Rate:
    """Do a step once to count what it asks for and to set up what the first call sets up, then again to time it.

    A step that takes minutes is not repeated: its first time counts. A step of small products has to be repeated, as
    counting takes longer than they do.

    Args:
        step: does some work, and says how many (images, iterations) that was.
        device: where the products run.
        budget: seconds of repeats.
        most: number of repeats.
    """
    reset_peak_memory(device)
    began = now()
    with counting() as count:
        done = step()
    synchronize(device)
    first = now() - began
    seconds = first / done if first.processor > SLOW else _repeat(step, budget, most, device)
    return Rate(
        seconds=seconds.clock,
        processor=seconds.processor,
        flops=count.flops / done,
        launches=count.launches / done,
        memory=peak_memory(device, count.peak),
    )


def measure_host(step: Callable[[], int], *, budget: float = BUDGET / 2) -> Rate:
    """As `measure`, of work of the processor alone; the first call counts too."""
    return of_host(_repeat(step, budget, MOST))


def _repeat(step: Callable[[], int], budget: float, most: int, device: torch.device | None = None) -> Seconds:
    """How long one piece takes if a step is repeated until the budget is spent."""
    began, done, repeats = now(), 0, 0
    spent = now() - began
    while repeats < most and (not repeats or spent.clock + spent.clock / repeats < budget):
        done += step()
        if device:
            synchronize(device)
        repeats += 1
        spent = now() - began
    return spent / max(1, done)


def of_host(seconds: Seconds) -> Rate:
    """The rate of work of the processor alone."""
    return Rate(seconds=seconds.clock, processor=seconds.processor, host=seconds.clock)


def with_disk(rate: Rate, size: float) -> Rate:
    """The rate of the same work, which leaves this many bytes on disk."""
    return replace(rate, disk=size)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was sent."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to look for the peak that `peak_memory` returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device, counted: int) -> int:
    """Bytes that the device held at the most since its statistics were reset; on the CPU what was counted."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else counted
