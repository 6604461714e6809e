"""How many planted copies are found, how many different images are taken for copies, and how long it takes.

    python -m benchmarks.near_copies miniworld --count 2000
    python -m benchmarks.near_copies photographs --images /path/to/photographs
    python -m benchmarks.near_copies noise --count 20000 --only-time

`miniworld` renders scenes of the embedded world, which has few kinds of scenes and is a hard case: an empty field
under the same clouds is drawn twice now and then. `photographs` takes the JPEG files of a folder, each content once.
`noise` makes clouds of colour, 128 x 128, in no time: for how long large sets take.

A copy counts as found if the pair of it and its original is found among all images. A different image is taken for a
copy if it is in any pair of the set before anything is planted in it. What is planted is drawn at random, within:

    jpeg       saved again as JPEG, quality 30 to 80
    resized    to half to one and a half times the size
    cropped    up to 5 % off each of the four edges
    flipped    left and right swapped
    brightness times 0.7 to 1.4, clipped at white
    all        all of these, one after the other: more than is promised, for information
"""

import argparse
import hashlib
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.figures import add_figures
from datasetdm.datasets.importing.files import is_image, walk
from datasetdm.datasets.near_copies import SAME, look_at_images, near_copies
from datasetdm.miniworld import render, sample_scene
from datasetdm.utils.files import write_image
from datasetdm.utils.images import read_image
from datasetdm.utils.progress import Progress, print_progress

RESULTS = Path("benchmarks/results/labels/near_copies.json")
SEED = 0


def main() -> None:
    """Measure one set, and add its figures to the file."""
    arguments = parse_arguments()
    print_progress()
    with TemporaryDirectory() as folder:
        files = SETS[arguments.of](arguments, Path(folder) / "drawn")
        figures = time_of(files) if arguments.only_time else measure(files, Path(folder) / "planted")
    name = f"{arguments.of} {len(files)}" + (" time" if arguments.only_time else "")
    measured = add_figures(arguments.out, {"seed": SEED, "same_from": SAME}, {name: figures})
    print(name, measured[name])


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", choices=tuple(SETS))
    parser.add_argument("--images", type=Path, help="a folder of photographs")
    parser.add_argument("--count", type=int, default=2000, help="images at most (default: 2000)")
    parser.add_argument("--only-time", action="store_true", help="plant nothing, for large sets")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parsed = parser.parse_args(arguments)
    if parsed.of == "photographs" and parsed.images is None:
        parser.error("photographs needs --images")
    return parsed


def measure(files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """The figures of a set of different images; planted copies are written to `folder`."""
    figures = time_of(files)
    originals = look_at_images(files)
    for kind, change in CHANGES.items():
        copies = plant(files, change, folder / kind)
        pairs = near_copies(look_at_images(copies), originals)
        found = {pair.first for pair in pairs if pair.first == pair.second}
        figures[f"found_{kind}"] = len(found) / len(files)
    return figures


def time_of(files: Sequence[Path]) -> dict[str, Any]:
    """How long a set takes on this machine, and how many of its images are taken for copies."""
    start, work = time.perf_counter(), time.process_time()
    looks = look_at_images(files)
    looked, looked_work = time.perf_counter(), time.process_time()
    pairs = near_copies(looks)
    compared, compared_work = time.perf_counter(), time.process_time()
    return {
        "images": len(files),
        "seconds_to_read": round(looked - start, 2),
        "cpu_seconds_to_read": round(looked_work - work, 2),
        "seconds_to_compare": round(compared - looked, 2),
        "cpu_seconds_to_compare": round(compared_work - looked_work, 2),
        "false_alarms": len({position for pair in pairs for position in (pair.first, pair.second)}) / len(files),
        "pairs": [[files[pair.first].name, files[pair.second].name, round(pair.similarity, 3)] for pair in pairs[:20]],
    }


def draw_scenes(folder: Path, count: int) -> list[Path]:
    """Render scenes as PNG, 128 x 128."""
    progress = Progress(count, "scenes rendered")
    for number in range(count):
        scene = sample_scene(np.random.default_rng([SEED, number]), "coco")
        write_image(folder / f"{number:06d}.png", render(scene, 128).image)
        progress.update(number + 1)
    return sorted(folder.iterdir())


def draw_noise(folder: Path, count: int) -> list[Path]:
    """Draw clouds with structure at several scales, as JPEG."""
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        image = np.full((128, 128, 3), 128, dtype=np.float32)
        for cells, strength in ((3, 40), (7, 25), (20, 15)):
            layer = rng.normal(size=(cells, cells, 3)).astype(np.float32)
            image += strength * cv2.resize(layer, (128, 128), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{number:06d}.jpg", quality=90)
    return sorted(folder.iterdir())


def different_photographs(folder: Path) -> list[Path]:
    """The colour images of a folder, JPEG alone (maps and masks are PNG), each content once."""
    known: dict[str, Path] = {}
    for file in walk(folder):
        if is_image(file) and file.suffix.lower() in (".jpg", ".jpeg"):
            known.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), file)
    return list(known.values())


def plant(
    files: Sequence[Path], change: Callable[[np.ndarray, np.random.Generator], np.ndarray], folder: Path
) -> list[Path]:
    """Changed copies as PNG, in the order of the files."""
    planted = []
    for number, file in enumerate(files):
        changed = change(read_image(file), np.random.default_rng([SEED, number]))
        planted.append(folder / f"{number:06d}.png")
        write_image(planted[-1], np.ascontiguousarray(changed))
    return planted


def as_jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image after JPEG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "jpeg", quality=int(rng.integers(30, 81)))
    decoded = cv2.imdecode(np.frombuffer(stream.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded)[..., ::-1]


def resized(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image at another size."""
    factor = float(rng.uniform(0.5, 1.5))
    height, width = (max(1, round(factor * side)) for side in image.shape[:2])
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=kind)


def cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image without some of its edges."""
    height, width = image.shape[:2]
    top, bottom = (rng.uniform(0, 0.05, 2) * height).astype(int)
    left, right = (rng.uniform(0, 0.05, 2) * width).astype(int)
    return image[top : height - bottom, left : width - right]


def flipped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image in a mirror."""
    return image[:, ::-1]


def brightened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image brighter or darker."""
    return np.clip(image * float(rng.uniform(0.7, 1.4)), 0, 255).astype(np.uint8)


def everything(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All changes."""
    for change in (flipped, cropped, brightened, resized, as_jpeg):
        image = change(image, rng)
    return image


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "jpeg": as_jpeg,
    "resized": resized,
    "cropped": cropped,
    "flipped": flipped,
    "brightness": brightened,
    "all": everything,
}


SETS: dict[str, Callable[[argparse.Namespace, Path], Sequence[Path]]] = {
    "miniworld": lambda arguments, folder: draw_scenes(folder, arguments.count),
    "noise": lambda arguments, folder: draw_noise(folder, arguments.count),
    "photographs": lambda arguments, folder: different_photographs(arguments.images)[: arguments.count],
}


if __name__ == "__main__":
    main()
