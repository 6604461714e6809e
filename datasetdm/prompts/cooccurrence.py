"""What stands together: which objects join which, learnt from the objects of a few labelled images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: Objects that each category is taken to have been seen with besides the real ones, spread over all categories. So a
#: pair that no labelled image shows stays possible, and what was seen once is not taken for a law.
SMOOTHING = 0.5

#: Category name -> number of its objects in an image (1 where only its presence is known).
Objects = Mapping[str, int]


@dataclass(frozen=True)
class CoOccurrence:
    """How objects of some categories are accompanied.

    Attributes:
        companions: float64, K x K: row i is the distribution of the category of a further object in an image that
            shows an object of category i.
    """

    companions: np.ndarray

    @classmethod
    def learn(cls, images: Sequence[Objects], names: Sequence[str], smoothing: float = SMOOTHING) -> "CoOccurrence":
        """Count what stands together.

        Args:
            images: the objects of each labelled image; names that are not asked for are ignored.
            names: the K categories.
            smoothing: see `SMOOTHING`; above 0.
        """
        counts = np.array([[image.get(name, 0) for name in names] for image in images], dtype=np.float64)
        counts = counts.reshape(len(images), len(names))
        shown = (counts > 0).astype(np.float64)
        # Of three dogs, two are further ones.
        seen = shown.T @ counts - np.diag(shown.sum(axis=0))
        seen += smoothing / len(names)
        return cls(companions=seen / seen.sum(axis=1, keepdims=True))

    def draw(self, focus: int, total: int, rng: np.random.Generator) -> dict[int, int]:
        """Draw the objects of a scene: one after another joins, by what stands with those that are there already.

        Args:
            focus: the category of the first object.
            total: how many objects there are, 1 or more.
            rng: chooses the others.

        Returns:
            Category -> number of its objects, in the order in which they joined.
        """
        scene = {focus: 1}
        for _ in range(total - 1):
            chances = self.companions[list(scene)].mean(axis=0)
            joined = int(rng.choice(len(chances), p=chances))
            scene[joined] = scene.get(joined, 0) + 1
        return scene
