"""Annotated images of two-coloured shapes."""

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample

SIDE = 64


def make_sample(seed: int) -> Sample:
    """One to three red boxes and green discs that do not overlap, on a noisy grey ground."""
    rng = np.random.default_rng(seed)
    image = rng.normal(110, 12, (SIDE, SIDE, 3)).clip(0, 255)
    cells = rng.permutation(4)[: rng.integers(1, 4)]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks, labels = [], []
    for cell in cells:
        y, x = 16 + 32 * (cell // 2) + rng.integers(-3, 4), 16 + 32 * (cell % 2) + rng.integers(-3, 4)
        radius, label = rng.integers(7, 12), int(rng.integers(2))
        if label == 0:
            mask = np.maximum(abs(rows - y), abs(columns - x)) <= radius
        else:
            mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        image[mask] = ((220, 40, 40), (40, 200, 60))[label]
        masks.append(mask)
        labels.append(label)
    names = ("box", "disc")
    return Sample(
        name=f"{seed}.png",
        image=image.astype(np.uint8),
        caption="a photo of a " + " and a ".join(names[label] for label in sorted(set(labels))),
        target=Instances.of(np.array(masks), np.array(labels)),
        image_id=seed + 1,
    )
