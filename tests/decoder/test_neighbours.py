"""What is read off an image depends on the image alone: not on its position, its neighbours, or the portions."""

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.datasets.standard.unlabelled import Unlabelled
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.decoder.inference import content_seed, predict_images
from datasetdm.decoder.trainer import evaluate
from datasetdm.filters import build_filter
from datasetdm.synthesis.generate import Annotator, make_requests, synthesize
from datasetdm.synthesis.pseudo_labels import read_labels
from datasetdm.utils.files import write_image
from datasetdm.utils.images import read_image

SIZES = [(64, 64), (48, 100), (131, 37), (64, 64), (200, 90), (64, 65), (33, 33), (50, 64), (90, 120), (64, 64)]


@pytest.fixture
def decoder(backbone, task, settings):
    return build_decoder(task, backbone.feature_info, settings, None).eval()


@pytest.fixture
def images(samples):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def assert_same(one, other) -> None:
    np.testing.assert_array_equal(one.target.masks, other.target.masks)
    np.testing.assert_array_equal(one.target.scores, other.target.scores)
    np.testing.assert_array_equal(one.target.labels, other.target.labels)
    assert one.score == other.score


def test_any_order_and_any_neighbours_give_the_same_answer(backbone, decoder, task, settings, images) -> None:
    prompts = [f"a photo of a {('box', 'disc')[number % 2]}" for number in range(len(images))]

    def predict(order):
        chosen = [images[index] for index in order], [prompts[index] for index in order]
        return dict(zip(order, predict_images(backbone, decoder, task, *chosen, settings), strict=True))

    alone = {index: predict([index])[index] for index in range(len(images))}
    assert any(len(prediction.target) for prediction in alone.values())
    for order in (range(10), [9, 3, 1, 0], [*range(9, -1, -1)], [4, 2, 8, 6, 0]):
        for index, prediction in predict([*order]).items():
            assert_same(prediction, alone[index])
    other = predict_images(backbone, decoder, task, images[:1], prompts[:1], settings, seed=1)[0]
    assert other.score != alone[0].score  # the noise is there, and another seed gives another


def test_the_noise_follows_pixels_and_size() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    changed = image.copy()
    changed[0, 0, 0] = 1
    seeds = {content_seed(image, 0), content_seed(changed, 0), content_seed(image.reshape(6, 4, 3), 0)}
    assert len(seeds | {content_seed(image, 1)}) == 4
    assert content_seed(np.asfortranarray(image), 0) == content_seed(image, 0)


def test_figures_on_dev_do_not_depend_on_the_order(backbone, decoder, task, settings, samples) -> None:
    many = [samples[index % 8] for index in range(70)]  # beyond one chunk
    assert evaluate(backbone, decoder, task, many, settings) == evaluate(backbone, decoder, task, many[::-1], settings)


def test_pseudo_labels_do_not_depend_on_the_list(backbone, decoder, task, settings, samples, tmp_path) -> None:
    listed = []
    for number, sample in enumerate(samples[:3] * 30):  # beyond one chunk
        path = tmp_path / sample.name
        if not path.exists():
            write_image(path, sample.image)
        listed.append(Unlabelled(name=sample.name, caption=sample.caption, image_id=number, path=path))
    filters = config.Filter(score_threshold=0.0, min_area=0.0)
    found = list(read_labels(backbone, decoder, task, settings, listed, build_filter(*task.kind), filters))
    assert len(found) == 90 and read_image(listed[0].path).shape == (64, 64, 3)
    for position, sample in enumerate(found):
        np.testing.assert_array_equal(sample.target.scores, found[position % 3].target.scores)
        np.testing.assert_array_equal(sample.target.masks, found[position % 3].target.masks)


@pytest.mark.parametrize("extraction", ["renoised", "last_step"])
def test_drawn_images_do_not_depend_on_their_batch(backbone, decoder, task, settings, extraction) -> None:
    texts = ["a photo of a box", "two discs"]
    prompts = pd.DataFrame({"id": [0, 1], "prompt": texts, "categories": ["box", "disc"], "kind": ""})
    annotator = Annotator(name="seed_0", fingerprint="x", decoder=decoder, settings=settings)
    filters = config.Filter(score_threshold=0.0, min_area=0.0)
    asked = config.Synthesis(num_images=7, batch_size=4, extraction=extraction, filter=filters)
    requests = make_requests(prompts, 7, 0)

    def make(order):
        chosen = [requests[index] for index in order]
        return dict(zip(order, synthesize(backbone, task, [annotator], chosen, asked), strict=True))

    together, mixed, alone = make(range(7)), make([6, 2, 0, 5, 3, 1, 4]), {0: make([0])[0], 5: make([5])[5]}
    assert len({drawn.image.tobytes() for drawn in together.values()}) == 7
    for index, other in [*mixed.items(), *alone.items()]:
        np.testing.assert_array_equal(together[index].image, other.image)
        first, second = (drawn.acceptances["seed_0"] for drawn in (together[index], other))
        np.testing.assert_array_equal(first.target.masks, second.target.masks)
        assert first.scores == second.scores
