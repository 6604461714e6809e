"""Which detector learns fastest? Mask AP on held-out images against the time of training.

    python benchmarks/downstream_curve.py --models mask-rcnn_r18 mask2former_r50 --iterations 100 200 400

Each row is a complete training with its own schedule on fresh miniworld images, so the last row that fits the
time at hand is the setting to choose. CPU time is that of the process and hardly depends on what else runs.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from datasetdm import config
from datasetdm.datasets.native.coco import open_native_coco
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.miniworld import export_coco
from datasetdm.tasks.instance import InstanceTask

HELD_OUT_SEED = 1


def main() -> None:
    """Train every model for every number of iterations and print the table."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as workspace:
        folder = Path(workspace)
        export_coco(
            folder / "world",
            num_train=arguments.num_images,
            num_val=arguments.num_held_out,
            seed=HELD_OUT_SEED,
            image_size=arguments.image_size,
        )
        task = InstanceTask(open_native_coco(folder / "world", "train").categories)
        for split in ("train", "val"):
            samples = open_native_coco(folder / "world", split)
            standard_format(*task.kind).save(
                folder / "set", split, (replace(one, name=f"{one.image_id}.png") for one in samples)
            )
        print(
            "| model | iterations | batch | learning rate | minutes | CPU minutes | mask AP | AP50 |",
            flush=True,
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for model in arguments.models:
            for iterations in arguments.iterations:
                settings = config.Downstream(
                    model=model,
                    pretrained=arguments.pretrained,
                    image_size=arguments.image_size,
                    iterations=iterations,
                    batch_size=arguments.batch_size,
                    learning_rate=arguments.learning_rate,
                )
                clock, cpu = time.perf_counter(), time.process_time()
                metrics = DOWNSTREAM[task.name].train(
                    settings,
                    task=task,
                    datasets=[Labelled(folder=folder / "set", subset="train")],
                    dev=Labelled(folder=folder / "set", subset="val"),
                    seed=arguments.seed,
                    out=folder / "detector",
                    device=arguments.device,
                )
                minutes, cpu_minutes = (time.perf_counter() - clock) / 60, (time.process_time() - cpu) / 60
                print(
                    f"| {model} | {iterations} | {settings.batch_size} | {settings.learning_rate:g} | {minutes:.1f} "
                    f"| {cpu_minutes:.1f} | {metrics['mask_ap']:.3f} | {metrics['mask_ap50']:.3f} |",
                    flush=True,
                )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mask-rcnn_r18"])
    parser.add_argument("--iterations", nargs="+", type=int, default=[100, 200, 400])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--pretrained", help="folder with the backbone's weights")
    parser.add_argument("--num-images", type=int, default=300)
    parser.add_argument("--num-held-out", type=int, default=100)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
