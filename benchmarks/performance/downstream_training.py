"""Training the downstream model: as the settings say, against the same training in float32."""

from dataclasses import replace
from pathlib import Path

from benchmarks.performance.measurement import Measurement, in_turn
from benchmarks.performance.project import small_benchmark
from datasetdm import config
from datasetdm.arms import LABELLED
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.precision import trains_in_bfloat16
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.stages import STAGES

OTHERS = ("voc", "coco_pose")  # a dense network, and one for poses


def measure(data: Path, *, iterations: int = 16, repeats: int = 3) -> Measurement:
    """Seconds per 1 000 iterations of `coco`, and in the details those of the other kinds of networks.

    Args:
        data: folder of the benchmarks.
        iterations: of each training that is timed.
        repeats: their median counts.
    """
    main, *others = (_measure(data / name, name, iterations, repeats) for name in ("coco", *OTHERS))
    kinds = {name: one.to_dict() for name, one in zip(OTHERS, others, strict=True)}
    return replace(main, details=main.details | kinds)


def _measure(data: Path, benchmark: str, iterations: int, repeats: int) -> Measurement:
    context = small_benchmark(data, benchmark)
    run_stage(STAGES["ingest"], context)
    settings = context.settings.downstream.model_copy(update={"iterations": iterations})
    plain = settings.model_copy(update={"autocast": False})
    seconds = in_turn({"ours": lambda: _train(context, settings), "reference": lambda: _train(context, plain)}, repeats)
    task = context.settings.task.name
    device = DOWNSTREAM[task].model_class().choose_device(context.params.device)
    return Measurement(
        ours=1000 * seconds["ours"] / iterations,
        reference=1000 * seconds["reference"] / iterations,
        unit="seconds per 1 000 iterations",
        higher_is_better=False,
        of=f"{settings.model} as params.yaml has it; the same in float32",
        details={"bfloat16": trains_in_bfloat16(settings, task, device), "batch_size": settings.batch_size},
    )


def _train(context: Context, settings: config.Downstream) -> None:
    task = context.task()
    family = DOWNSTREAM[task.name].model_class()
    data = [Labelled(folder=context.paths.real, subset=LABELLED.subset(0))]
    device = family.choose_device(context.params.device)
    curve = LossCurve(settings.iterations)
    family.build(settings, task).train(settings, data, task, curve, seed=0, device=device, resume=None)
