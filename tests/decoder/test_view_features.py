import numpy as np
import pytest
import torch

from datasetdm.decoder import view_features
from datasetdm.decoder.view_features import FreshViews, cache_views, open_views
from datasetdm.errors import DatasetDMError
from datasetdm.utils import memory


def test_cache_holds_every_view_in_half_precision(backbone, task, samples, settings):
    views = cache_views(backbone, task, samples, settings, seed=0)
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
    twice = cache_views(backbone, task, [samples[0], samples[0]], plain, seed=0)
    assert not torch.equal(twice.features.maps[2][0], twice.features.maps[2][1])


def test_fresh_views_follow_torchs_generator_and_never_come_twice(backbone, task, samples, settings):
    fresh = open_views(backbone, task, samples, settings.model_copy(update={"views_per_image": None}), seed=0)
    assert isinstance(fresh, FreshViews) and backbone.views == 0
    torch.manual_seed(3)
    (first, targets), (second, _) = (fresh.sample(2, backbone.device) for _ in range(2))
    assert backbone.views == 4
    torch.manual_seed(3)
    again = fresh.sample(2, backbone.device)[0]
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
        cache_views(backbone, task, samples, huge, seed=0)


@pytest.mark.parametrize(("limit", "refused"), [("1000\n", True), ("max\n", False), (None, False)])
def test_a_containers_memory_counts(backbone, task, samples, settings, tmp_path, monkeypatch, limit, refused):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (tmp_path / "memory.max",))
    if refused:
        with pytest.raises(DatasetDMError, match="views_per_image"):
            cache_views(backbone, task, samples, settings, seed=0)
    else:
        cache_views(backbone, task, samples, settings, seed=0)


def test_no_labelled_image_is_a_clear_error(backbone, task, settings):
    with pytest.raises(DatasetDMError, match="num_real"):
        open_views(backbone, task, [], settings, seed=0)
