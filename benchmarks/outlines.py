"""What do outlines that follow the picture bring? A trained decoder's labels with and without GrabCut.

    python -m benchmarks.outlines coco        # after `python -m datasetdm run coco --until train_decoder`

Instances and semantic maps. Both rows of a set read the same features with the same weights; `decoder`, the reference,
takes the masks as the decoder gives them. GrabCut's constants were chosen on the first 250 oracle images of the demo
`coco`, with a decoder of an earlier diffusion model; all else is new to them.
"""

import argparse
import time
import warnings

from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.trainer import evaluate
from datasetdm.pipeline.context import open_context
from datasetdm.tasks import build_task

warnings.filterwarnings("ignore")


def main() -> None:
    """Evaluate both ways on both sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", nargs="?", default="coco", help="an instance or semantic benchmark of params.yaml")
    parser.add_argument("--study", action="store_true", help="the decoder of the study")
    arguments = parser.parse_args()
    context = open_context(arguments.benchmark, study=arguments.study)
    backbone = context.backbone()
    decoder, trained, settings = load_decoder(context.paths.decoders / str(context.seeds[0]), backbone)
    metrics = build_task(trained.settings, trained.categories).headline
    print(f"| set | outlines | ratio | {' | '.join(metrics)} | seconds per image |")
    print(f"|---|---|{'---:|' * (len(metrics) + 2)}")
    for subset in ("dev", "oracle"):
        reference = None
        for outlines in ("decoder", "grabcut"):
            task = build_task(trained.settings.model_copy(update={"outlines": outlines}), trained.categories)
            samples = standard_format(*task.kind).load(context.paths.real, subset)
            start = time.perf_counter()
            found = evaluate(backbone, decoder, task, samples, settings)
            seconds = (time.perf_counter() - start) / len(samples)
            reference = reference or found[metrics[0]]
            figures = " | ".join(f"{found[metric]:.3f}" for metric in metrics)
            print(
                f"| {subset} ({len(samples)}) | {outlines} | {found[metrics[0]] / reference:.2f} | {figures} | "
                f"{seconds:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
