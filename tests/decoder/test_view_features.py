import numpy as np
import pytest
import torch

from datasetdm.decoder import fresh_views
from datasetdm.decoder.fresh_views import FreshViews, PreparedBatches
from datasetdm.decoder.training_views import open_views
from datasetdm.decoder.view_cache import cache_views
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


@pytest.fixture
def fresh(backbone, task, samples, settings) -> FreshViews:
    views = open_views(backbone, task, samples, settings.model_copy(update={"views_per_image": None}), seed=0)
    assert isinstance(views, FreshViews) and backbone.views == 0
    return views


def test_fresh_views_follow_their_seeds_and_never_come_twice(fresh, backbone):
    (first, targets), (second, _) = fresh.batches([3, 4], 2, backbone.device)
    assert backbone.views == 4
    ((again, _),) = fresh.batches([3], 2, backbone.device)
    assert first.maps[2].shape == (2, 24, 32, 32) and first.maps[2].dtype == torch.float32
    assert {values.shape[2] for values in first.attention.values()} == {1}  # layers averaged
    assert all(target["masks"].shape[1:] == (64, 64) for target in targets)
    torch.testing.assert_close(again.maps, first.maps, rtol=0, atol=0)
    assert not torch.equal(first.maps[2], second.maps[2])


def test_worker_processes_prepare_the_same_views(fresh, backbone, monkeypatch):
    alone = list(fresh.batches([3, 4, 5], 2, backbone.device))
    monkeypatch.setattr(fresh_views, "num_workers", lambda device: 2)
    drawn = []
    for (features, targets), (expected, wanted) in zip(
        fresh.batches([3, 4, 5], 2, backbone.device), alone, strict=True
    ):
        torch.testing.assert_close(features.maps, expected.maps, rtol=0, atol=0)
        for target, right in zip(targets, wanted, strict=True):
            torch.testing.assert_close(target, right, rtol=0, atol=0)
        drawn.append(torch.rand(1).item())
    torch.manual_seed(4)
    assert drawn[1] == torch.rand(1).item()  # each seed is torch's, too, whoever prepared the batch


def test_fresh_views_show_the_whole_image_now_and_then(backbone, task, samples, settings, monkeypatch):
    monkeypatch.setattr(fresh_views, "PLAIN_SHARE", 0.5)
    batches = PreparedBatches(task, samples[:1], settings, backbone.image_size, 64, [0], 1)
    plain = [np.array_equal(batches.view(np.random.default_rng(n)).image, samples[0].image) for n in range(200)]
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
