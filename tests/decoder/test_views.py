import itertools

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample
from datasetdm.prompts.mentions import Word
from datasetdm.transforms.geometry import squeeze
from datasetdm.transforms.views import augmented_views, mix, randomly_placed, splice_two, to_square
from tests.transforms.shapes import SIDE, make_sample

SAMPLES = [make_sample(seed) for seed in range(8)]
SETTINGS = config.Decoder(views_per_image=4)
PROMPT_WORDS = {0: Word("box"), 1: Word("disc")}


def labels_of(image):
    """Which pixels are red and which are green, whatever the tint."""
    red, green, _ = np.moveaxis(image.astype(int), -1, 0)
    return red - green > 60, green - red > 60


def agreement(sample: Sample) -> float:
    """Share of the annotated pixels that have the colour of their object, and of coloured pixels annotated."""
    boxes, discs = labels_of(sample.image)
    annotated = [sample.target.masks[sample.target.labels == label].any(axis=0) for label in (0, 1)]
    hits = sum((colour & mask).sum() for colour, mask in zip((boxes, discs), annotated, strict=True))
    union = sum((colour | mask).sum() for colour, mask in zip((boxes, discs), annotated, strict=True))
    return hits / max(union, 1)


def test_views_are_labelled_exactly():
    """Zoomed out, mirrored in, tinted or not: every coloured pixel has its label and the other way round."""
    rng = np.random.default_rng(0)
    scores = [agreement(randomly_placed(sample, rng)) for sample in SAMPLES for _ in range(8)]
    assert np.mean(scores) > 0.9
    assert min(scores) > 0.7


def test_splices_are_labelled_exactly():
    rng = np.random.default_rng(0)
    for first, second in itertools.pairwise(SAMPLES):
        view = splice_two(first, second, rng)
        assert agreement(view) > 0.95
        assert not (view.target.masks.sum(axis=0) > 1).any()


def test_pasted_objects_are_labelled_exactly():
    """Whole objects lie on top; what they hide is not annotated any more."""
    rng = np.random.default_rng(0)
    pasted = 0
    for first, second in itertools.permutations(SAMPLES, 2):
        view = mix(first, second, PROMPT_WORDS, rng)
        if view is None:
            assert not len(second.target)
            continue
        assert agreement(view) > 0.95
        assert not (view.target.masks.sum(axis=0) > 1).any()
        kept = {mask.tobytes() for mask in view.target.masks}
        pasted += any(mask.tobytes() in kept for mask in second.target.masks)
    assert pasted > 0


def test_images_of_any_shape_are_squeezed_as_a_whole():
    image = np.zeros((90, 160, 3), dtype=np.uint8)
    image[30:60, 40:120] = (220, 0, 0)
    mask = image[..., 0] > 0
    sample = to_square(Sample(name="a", image=image, caption="", target=Instances.of(mask[None], [0])), 64)
    assert sample.image.shape == (64, 64, 3)
    assert agreement(sample) > 0.9
    assert sample.target.masks.mean() == pytest.approx(mask.mean(), rel=0.1)
    assert squeeze(image, 200).shape == (200, 200, 3)


def test_views_repeat_for_the_same_seed():
    first, again = (list(augmented_views(SAMPLES, SETTINGS, SIDE, 5, PROMPT_WORDS)) for _ in range(2))
    other = list(augmented_views(SAMPLES, SETTINGS, SIDE, 6, PROMPT_WORDS))
    assert len(first) == len(SAMPLES) * SETTINGS.views_per_image
    assert all((a.image == b.image).all() and a.prompt == b.prompt for a, b in zip(first, again, strict=True))
    assert not all((a.image == b.image).all() for a, b in zip(first, other, strict=True))
    np.testing.assert_array_equal(first[0].image, SAMPLES[0].image)  # the first view is the image itself


def test_views_of_one_image_need_no_partner():
    assert len(list(augmented_views(SAMPLES[:1], SETTINGS, SIDE, 0, PROMPT_WORDS))) == SETTINGS.views_per_image
