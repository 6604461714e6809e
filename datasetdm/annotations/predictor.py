"""What every trained model offers, whoever trained it: a downstream model, a P-Decoder, a trivial baseline."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from datasetdm.annotations.sample import Category


class Predictor(Protocol):
    """A model that annotates images.

    The annotation of an image is the same to the last bit whatever other images are in the list: a batch of another
    size, or padded to another size, would change sums and grids. Models therefore look at one image at a time.
    """

    @property
    def categories(self) -> tuple[Category, ...]:
        """What its labels stand for, in label order."""

    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
        """The annotation of each image, of the task's target type.

        Args:
            images: uint8, H x W x 3, RGB, of any sizes.
            prompt_boxes: per image the boxes in which the model looks for a person, float N x 4 (x, y, width, height
                in pixels), or None. Only pose models use them.
        """
