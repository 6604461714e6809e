"""Are promises kept? `synthesis.filter.target_precision`, checked on images whose true labels are known.

    python -m datasetdm run coco --study --until train_decoder
    python -m benchmarks.promise coco --study --out benchmarks/results/labels/promise_coco.json

The P-Decoder of each seed reads the oracle images, which it has not learnt from. Half of them stand for dev: small sets
are drawn from them again and again, a threshold is chosen on each, and the other half tells what share of the accepted
labels is right. With a confidence of 0.9 at most a tenth of all promises may be broken. `by hand` is the threshold of
params.yaml (the reference), judged on the same half; `dev` is the benchmark's own dev set, judged on all oracle images.
Figures are fractions.
"""

import argparse
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_with import write_result
from datasetdm.calibration.calibration import CalibratedFilter, Calibration, Judged, calibrate, passed
from datasetdm.calibration.judges import Judge
from datasetdm.config.synthesis import Filter as FilterSettings
from datasetdm.errors import DatasetDMError
from datasetdm.filters import build_filter
from datasetdm.filters.base import Filter
from datasetdm.pipeline.calibrated import judge_of, judged_images
from datasetdm.pipeline.context import Context, open_context

warnings.filterwarnings("ignore")

DRAWS = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all targets and sizes, and print and write a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", help="one of params.yaml whose decoders are trained")
    parser.add_argument("--study", action="store_true", help="the decoders of the study")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.7, 0.8, 0.9], metavar="P")
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 120, 240], metavar="N", help="of dev")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="of decoders; default: all")
    parser.add_argument("--draws", type=int, default=DRAWS, help="dev sets per target and size")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args(arguments)
    context = open_context(given.benchmark, study=given.study)
    found: dict[str, Any] = {"benchmark": given.benchmark, "study": given.study, "seeds": {}}
    for seed in given.seeds or context.seeds:
        start = time.perf_counter()
        found["seeds"][str(seed)] = _of_seed(context, seed, given.targets, given.sizes, given.draws)
        found["seeds"][str(seed)]["seconds"] = round(time.perf_counter() - start)
        print(json.dumps({str(seed): found["seeds"][str(seed)]}, indent=1), flush=True)
        if given.out:
            write_result(given.out, found)


def _of_seed(context: Context, seed: int, targets: Sequence[float], sizes: Sequence[int], draws: int) -> dict[str, Any]:
    judge, plain = judge_of(context), build_filter(*context.task().kind)
    by_hand = context.settings.synthesis.filter
    images = judged_images(context, seed, "oracle")
    dev = judged_images(context, seed, "dev")
    pool, others = images[: len(images) // 2], images[len(images) // 2 :]
    if max(sizes) > len(pool):
        raise DatasetDMError(f"--sizes: {len(pool)} images stand for dev, and {max(sizes)} are asked for")
    rows: list[dict[str, Any]] = []
    for target in targets:
        settings = FilterSettings(**by_hand.model_dump() | {"target_precision": target})
        for size in sizes:
            rows.append({"target": target, "dev": size, **_drawn(judge, plain, pool, others, settings, size, draws)})
        own = calibrate(judge, plain, dev, settings, seed=seed)
        rows.append({"target": target, "dev": f"own {len(dev)}", **_kept(judge, plain, own, images, settings)})
    return {"images": len(others), "by_hand": _figures(plain, judge, others, by_hand), "promises": rows}


def _drawn(
    judge: Judge,
    plain: Filter,
    pool: Sequence[Judged],
    others: Sequence[Judged],
    settings: FilterSettings,
    size: int,
    draws: int,
) -> dict[str, float]:
    """What happens with `draws` dev sets of so many images."""
    rng, outcomes = np.random.default_rng(size), []
    for draw in range(draws):
        some = [pool[index] for index in rng.choice(len(pool), size, replace=False)]
        calibration = calibrate(judge, plain, some, settings, seed=draw)
        outcomes.append(_kept(judge, plain, calibration, others, settings))
    made = [outcome for outcome in outcomes if "precision" in outcome]
    broken = sum(outcome["precision"] < calibration.target_precision for outcome in made)
    figures = {name: float(np.mean([outcome[name] for outcome in made])) for name in ("precision", "accepted") if made}
    return {"promised": len(made) / draws, "broken": broken / draws, **figures}


def _kept(
    judge: Judge, plain: Filter, calibration: Calibration, images: Sequence[Judged], settings: FilterSettings
) -> dict[str, float]:
    """Whether a promise was made, and what it is worth on other images."""
    if calibration.chosen is None:
        return {"promised": 0.0}
    label_filter = CalibratedFilter(plain, judge, calibration.curve, calibration.chosen.threshold)
    return {"promised": 1.0, **_figures(label_filter, judge, images, settings)}


def _figures(
    label_filter: Filter, judge: Judge, images: Sequence[Judged], settings: FilterSettings
) -> Mapping[str, float]:
    """The mean share of right labels in an accepted image, and the share of images that are accepted."""
    outcome = passed(label_filter, judge, images, settings)
    losses = [loss for loss, _ in outcome]
    return {"accepted": len(losses) / len(images), **({"precision": 1 - float(np.mean(losses))} if losses else {})}


if __name__ == "__main__":
    main()
