"""Do the things, numbers, places, light and weather of a prompt appear in its image?

    python -m benchmarks.backbone.prompt_fidelity --num-images 1000

The prompts are captions of `--num-images` fresh scenes of `coco`, which name every object. The instrument looks at the
image drawn for each caption and at the scene's own render: each share on drawn images is divided by the same share on
renders. Where a caption names light, weather or place, a linear probe on the instrument's features reads them; it is
fitted to `--probe-images` other renders.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.backbone.command import (
    add_sampler,
    build_parser,
    markdown,
    open_backbone,
    ratio,
    report,
    sampler_settings,
    say,
    set_threads,
)
from benchmarks.backbone.drawing import draw_images
from benchmarks.backbone.figures import Probe, count_labels, count_rates, found_rates, unasked_objects
from benchmarks.backbone.instrument import Instrument, add_instrument, open_instrument
from benchmarks.backbone.words import PHRASES, conditions, said
from benchmarks.backbone.worlds import Shot, coco_task, take_shots

NUMBERS = (1, 2, 3)
ALL_STAGES = (0, 1, 2, 3)  # light and weather show in the early ones
WANTED = {"found": 0.9, "found_each": 0.8, "count": 0.8}

HEADER = ["", "asked", "on renders", "on drawn", "drawn / renders", "wanted"]


def main() -> None:
    """Draw, look, print the tables."""
    arguments = parse_arguments()
    set_threads(arguments)
    instrument = open_instrument(arguments)
    backbone = open_backbone(arguments.backbone, arguments.device)
    shots = list(take_shots("prompts", arguments.num_images, seed=arguments.seed))
    drawn = draw_images(
        backbone,
        [shot.sample.caption for shot in shots],
        sampler_settings(arguments),
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        cache=arguments.cache,
    )
    renders = np.stack([shot.sample.image for shot in shots])
    say("looking for the things")
    things = judge_things(instrument, shots, renders, drawn)
    say("reading light, weather and place")
    words = judge_words(instrument, shots, renders, drawn, arguments)
    figures = {"backbone": backbone.fingerprint, "instrument": instrument.name, "things": things, "words": words}
    report(arguments, {**thing_tables(things), "Light, weather, place": word_table(words)}, figures)


def judge_things(
    instrument: Instrument, shots: Sequence[Shot], renders: np.ndarray, drawn: np.ndarray
) -> dict[str, Any]:
    """Shares of prompted categories that are found and of numbers that are right, on renders and on drawn images.

    Args:
        instrument: the detector.
        shots: the scenes whose captions were the prompts.
        renders: of these scenes, uint8 N x S x S x 3.
        drawn: of their captions, likewise.
    """
    names = [category.name for category in coco_task().categories]
    asked = count_labels([shot.sample.target.labels for shot in shots], len(names))
    seen = {"renders": instrument.count(list(renders)), "drawn": instrument.count(list(drawn))}
    found = {kind: found_rates(asked, counts) for kind, counts in seen.items()}
    counted = {kind: count_rates(asked, counts, NUMBERS) for kind, counts in seen.items()}
    rows = zip(names, (asked > 0).sum(axis=0).tolist(), found["renders"][1], found["drawn"][1], strict=True)
    numbers = zip(NUMBERS, counted["renders"][1], counted["drawn"][1], strict=True)
    return {
        "found": _compared(int((asked > 0).sum()), found["renders"][0], found["drawn"][0]),
        "found_each": {name: _compared(total, first, second) for name, total, first, second in rows},
        "count": _compared(int(np.isin(asked, NUMBERS).sum()), counted["renders"][0], counted["drawn"][0]),
        "count_each": {
            number: _compared(int((asked == number).sum()), first, second) for number, first, second in numbers
        },
        "unasked": {kind: unasked_objects(asked, counts) for kind, counts in seen.items()},
    }


def judge_words(
    instrument: Instrument,
    shots: Sequence[Shot],
    renders: np.ndarray,
    drawn: np.ndarray,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Per aspect and value the share that a probe reads as the caption says, on renders and on drawn images."""
    examples = list(take_shots("probe", arguments.probe_images, seed=arguments.seed))
    example_features = instrument.features(np.stack([shot.sample.image for shot in examples]), ALL_STAGES)
    features = {"renders": instrument.features(renders, ALL_STAGES), "drawn": instrument.features(drawn, ALL_STAGES)}
    truths = [conditions(shot.scene) for shot in examples]
    asked = [said(shot.scene, shot.sample.caption) for shot in shots]
    figures = {}
    for aspect in PHRASES:
        rows = [index for index, truth in enumerate(truths) if aspect in truth]
        probe = Probe.fit(example_features[rows], [truths[index][aspect] for index in rows])
        cases = [index for index, words in enumerate(asked) if aspect in words]
        values = np.array([asked[index][aspect] for index in cases])
        right = {kind: np.array(probe.read(matrix[cases])) == values for kind, matrix in features.items()}
        figures[aspect] = {
            value: _compared(
                int((values == value).sum()),
                _mean(right["renders"], values == value),
                _mean(right["drawn"], values == value),
            )
            for value in PHRASES[aspect]
        }
    return figures


def thing_tables(things: dict[str, Any]) -> dict[str, str]:
    """The tables of `judge_things`."""
    unasked = things["unasked"]
    known = {name: row for name, row in things["found_each"].items() if math.isfinite(row["relative"])}
    least = min(known or things["found_each"], key=lambda name: things["found_each"][name]["relative"])
    overall = [
        ["category found", *things["found"].values(), WANTED["found"]],
        [f"least found: {least}", *things["found_each"][least].values(), WANTED["found_each"]],
        ["number right (1 to 3)", *things["count"].values(), WANTED["count"]],
        *([f"{number} asked for", *row.values(), "-"] for number, row in things["count_each"].items()),
        ["objects per image that nobody asked for", "-", unasked["renders"], unasked["drawn"], "-", "-"],
    ]
    each = [[name, *row.values(), WANTED["found_each"]] for name, row in things["found_each"].items()]
    return {"Prompt fidelity": markdown(HEADER, overall), "Category found": markdown(HEADER, each)}


def word_table(words: dict[str, Any]) -> str:
    """The table of `judge_words`."""
    rows = [[f"{aspect}: {value}", *row.values()] for aspect, values in words.items() for value, row in values.items()]
    return markdown(HEADER[:-1], rows)


def _compared(asked: int, renders: float, drawn: float) -> dict[str, float]:
    return {"asked": asked, "renders": float(renders), "drawn": float(drawn), "relative": ratio(drawn, renders)}


def _mean(right: np.ndarray, chosen: np.ndarray) -> float:
    return float(right[chosen].mean()) if chosen.any() else float("nan")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, num_images=1000)
    parser.add_argument("--probe-images", type=int, default=4000, help="renders that the probe is fitted to")
    add_sampler(parser)
    add_instrument(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
