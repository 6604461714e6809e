"""The plan of a benchmark: calibrate in a temporary folder, then multiply."""

import shutil
import tempfile
from pathlib import Path

import torch

from datasetdm.pipeline.context import Context
from datasetdm.pipeline.paths import DATA
from datasetdm.pipeline.planning.calibration import Calibration
from datasetdm.pipeline.planning.cards import Card
from datasetdm.pipeline.planning.plan import plan_stages
from datasetdm.pipeline.planning.rehearsal import Rehearsal
from datasetdm.pipeline.planning.summary import Summary, load_of_machine
from datasetdm.utils.devices import choose_device
from datasetdm.utils.progress import working_on


def plan_benchmark(
    benchmark: Context, *, card: Card | None = None, price: float | None = None, start: float | None = None
) -> Summary:
    """What is left to do for a benchmark and what that costs; nothing is written into the project.

    What cannot be judged, as weights or data are missing, is named in the summary.

    Args:
        benchmark: the benchmark.
        card: to estimate times for, besides those on this machine.
        price: of an hour.
        start: seconds of the processor that a process takes to start.

    Raises:
        DatasetDMError: the device of the settings does not exist.
    """
    device, load = choose_device(benchmark.params.device), load_of_machine()
    with working_on(f"plan {benchmark.name}"), tempfile.TemporaryDirectory(prefix="datasetdm-plan-") as folder:
        calibration = Calibration(Rehearsal(benchmark, Path(folder)))
        stages = list(plan_stages(benchmark, calibration, card))
    cores = torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cores} CPU thread{'s' * (cores > 1)}"
    free = shutil.disk_usage(DATA if DATA.exists() else Path()).free
    return Summary(
        benchmark=benchmark.name,
        device=name,
        stages=stages,
        rates=calibration.known,
        free=free,
        load=load,
        card=card,
        price=price,
        start=start,
    )
