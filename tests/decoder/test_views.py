import itertools

import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample
from datasetdm.decoder import view_features
from datasetdm.decoder.view_features import FreshViews, cache_views, open_views
from datasetdm.errors import DatasetDMError
from datasetdm.transforms.geometry import squeeze
from datasetdm.transforms.prompt_noise import vary_prompt
from datasetdm.transforms.views import draw_views, mix, random_view, splice_two, to_square

WORDS = ("dog", "person", "fire hydrant", "bus")
NO_NOISE = config.PromptNoise(empty=0, generic=0, drop_word=0, wrong_word=0)
PROMPT = "a photo of two dogs, some people and a fire hydrant"


def quiet(_: str) -> None:
    """Progress that nobody reads."""


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


def test_views_are_labelled_exactly(task, samples):
    """Zoomed out, mirrored in, tinted or not: every coloured pixel has its label and the other way round."""
    rng = np.random.default_rng(0)
    scores = [agreement(random_view(task, sample, rng)) for sample in samples for _ in range(8)]
    assert np.mean(scores) > 0.9
    assert min(scores) > 0.7


def test_splices_are_labelled_exactly(task, samples):
    rng = np.random.default_rng(0)
    for first, second in itertools.pairwise(samples):
        view = splice_two(task, first, second, rng)
        assert agreement(view) > 0.95
        assert not (view.target.masks.sum(axis=0) > 1).any()


def test_pasted_objects_are_labelled_exactly(task, samples):
    """Whole objects lie on top; what they hide is not annotated any more."""
    rng = np.random.default_rng(0)
    pasted = 0
    for first, second in itertools.permutations(samples, 2):
        view = mix(task, first, second, rng)
        if view is None:
            assert not len(second.target)
            continue
        assert agreement(view) > 0.95
        assert not (view.target.masks.sum(axis=0) > 1).any()
        kept = {mask.tobytes() for mask in view.target.masks}
        pasted += any(mask.tobytes() in kept for mask in second.target.masks)
    assert pasted > 0


def test_images_of_any_shape_are_squeezed_as_a_whole(task):
    image = np.zeros((90, 160, 3), dtype=np.uint8)
    image[30:60, 40:120] = (220, 0, 0)
    mask = image[..., 0] > 0
    sample = to_square(task, Sample(name="a", image=image, caption="", target=Instances.of(mask[None], [0])), 64)
    assert sample.image.shape == (64, 64, 3)
    assert agreement(sample) > 0.9
    assert sample.target.masks.mean() == pytest.approx(mask.mean(), rel=0.1)
    assert squeeze(image, 200).shape == (200, 200, 3)


def test_views_repeat_for_the_same_seed(task, samples, settings):
    first, again = (list(draw_views(task, samples, settings, 64, seed=5)) for _ in range(2))
    other = list(draw_views(task, samples, settings, 64, seed=6))
    assert len(first) == len(samples) * settings.views_per_image
    assert all((a.image == b.image).all() and a.prompt == b.prompt for a, b in zip(first, again, strict=True))
    assert not all((a.image == b.image).all() for a, b in zip(first, other, strict=True))
    np.testing.assert_array_equal(first[0].image, samples[0].image)  # the first view is the image itself


def test_prompts_without_noise_stay():
    rng = np.random.default_rng(0)
    assert vary_prompt(PROMPT, WORDS, NO_NOISE, rng) == PROMPT


def only(kind: str) -> config.PromptNoise:
    return NO_NOISE.model_copy(update={kind: 1.0})


def test_kinds_of_prompt_noise():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert vary_prompt(PROMPT, WORDS, only("empty"), rng) == ""
        assert vary_prompt(PROMPT, WORDS, only("generic"), rng) == "a photo"
        dropped = vary_prompt(PROMPT, WORDS, only("drop_word"), rng)
        assert sum(word in dropped for word in ("dogs", "people", "fire hydrant")) < 3
        wrong = vary_prompt(PROMPT, WORDS, only("wrong_word"), rng)
        assert "bus" in wrong
        assert sum(word in wrong for word in ("dogs", "people", "fire hydrant")) == 2
        assert vary_prompt("an empty street", WORDS, only("wrong_word"), rng) == "an empty street"


def test_shares_of_prompt_noise():
    rng = np.random.default_rng(0)
    noise = config.PromptNoise(empty=0.2, generic=0.3, drop_word=0.1, wrong_word=0.1)
    prompts = [vary_prompt(PROMPT, WORDS, noise, rng) for _ in range(2000)]
    assert prompts.count("") / 2000 == pytest.approx(0.2, abs=0.04)
    assert prompts.count("a photo") / 2000 == pytest.approx(0.3, abs=0.04)
    assert prompts.count(PROMPT) / 2000 == pytest.approx(0.3, abs=0.04)


def test_cache_holds_every_view_in_half_precision(backbone, task, samples, settings):
    views = cache_views(backbone, task, samples, settings, seed=0, progress=quiet)
    total = len(samples) * settings.views_per_image
    assert len(views) == total == backbone.views
    assert {values.dtype for values in views.features.maps.values()} == {torch.float16}
    assert {values.shape[2] for values in views.features.attention.values()} == {1}  # layers averaged
    features, targets = views.batch(torch.tensor([3, 0]), backbone.device)
    assert features.maps[2].shape == (2, 24, 32, 32)
    assert features.maps[2].dtype == torch.float32
    assert targets[1]["masks"].shape == (len(samples[0].target), 64, 64)
    assert targets[1]["labels"].tolist() == samples[0].target.labels.tolist()


def test_cached_views_are_noised_differently(backbone, task, samples, settings):
    plain = settings.model_copy(update={"views_per_image": 1, "train_timesteps": (1, 400)})
    twice = cache_views(backbone, task, [samples[0], samples[0]], plain, seed=0, progress=quiet)
    assert not torch.equal(twice.features.maps[2][0], twice.features.maps[2][1])


def test_fresh_views_follow_torchs_generator_and_never_come_twice(backbone, task, samples, settings):
    fresh = open_views(backbone, task, samples, settings.model_copy(update={"views_per_image": None}), seed=0)
    assert isinstance(fresh, FreshViews) and backbone.views == 0
    torch.manual_seed(3)
    (first, targets), (second, _) = (fresh.draw(2, backbone.device) for _ in range(2))
    assert backbone.views == 4
    torch.manual_seed(3)
    again = fresh.draw(2, backbone.device)[0]
    assert first.maps[2].shape == (2, 24, 32, 32) and first.maps[2].dtype == torch.float32
    assert {values.shape[2] for values in first.attention.values()} == {1}  # layers averaged
    assert all(target["masks"].shape[1:] == (64, 64) for target in targets)
    torch.testing.assert_close(again.maps, first.maps, rtol=0, atol=0)
    assert not torch.equal(first.maps[2], second.maps[2])


def test_fresh_views_show_the_whole_image_now_and_then(backbone, task, samples, settings, monkeypatch):
    monkeypatch.setattr(view_features, "PLAIN_SHARE", 0.5)
    fresh = FreshViews(backbone, task, samples[:1], settings)
    plain = [np.array_equal(fresh._view(np.random.default_rng(n)).image, samples[0].image) for n in range(200)]
    assert sum(plain) / 200 == pytest.approx(0.5, abs=0.12)


def test_too_many_views_are_refused(backbone, task, samples, settings):
    huge = settings.model_copy(update={"views_per_image": 10**9})
    with pytest.raises(DatasetDMError, match="views_per_image"):
        cache_views(backbone, task, samples, huge, seed=0, progress=quiet)


@pytest.mark.parametrize(("limit", "refused"), [("1000\n", True), ("max\n", False), (None, False)])
def test_a_containers_memory_counts(backbone, task, samples, settings, tmp_path, monkeypatch, limit, refused):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(view_features, "CONTAINER_LIMIT", tmp_path / "memory.max")
    if refused:
        with pytest.raises(DatasetDMError, match="views_per_image"):
            cache_views(backbone, task, samples, settings, seed=0)
    else:
        cache_views(backbone, task, samples, settings, seed=0)


def test_no_labelled_image_is_a_clear_error(backbone, task, settings):
    with pytest.raises(DatasetDMError, match="num_real"):
        open_views(backbone, task, [], settings, seed=0, progress=quiet)
