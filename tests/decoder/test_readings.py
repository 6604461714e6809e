"""Reading an image in several ways: at further noise levels, and as its mirror image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.decoder.inference import predict_images, read_features
from datasetdm.decoder.readings import Pass, join_readings, passes
from datasetdm.decoder.self_attention import knows_all_named
from datasetdm.errors import DatasetDMError
from datasetdm.tasks import build_task
from datasetdm.utils.digests import digest
from datasetdm.utils.images import read_image
from tests.decoder.test_neighbours import assert_same

PHOTOGRAPHS = sorted((Path(__file__).parents[3] / "shared/realdata/COCO2017").rglob("*.jpg"))[:1]
KINDS = {
    "instance": (config.InstanceAnnotation(), ["box", "disc"]),
    "semantic": (config.SemanticAnnotation(), ["background", "box", "disc"]),
    "depth": (config.DepthAnnotation(), ["box", "disc"]),
    "pose": (config.PoseAnnotation(), ["person"]),
}


def task_of(name: str):
    settings, names = KINDS[name]
    return build_task(settings, [Category(id=1 + number, name=noun) for number, noun in enumerate(names)])


def reading(settings: config.Decoder, **values: object) -> config.Decoder:
    return settings.model_copy(update={"reading": config.Reading.model_validate(values)})


def test_without_further_readings_settings_look_as_before(settings) -> None:
    assert "reading" not in settings.model_dump() and "reading" not in settings.model_dump(mode="json")
    assert digest(settings) != digest(reading(settings, flip=True))
    assert config.Decoder.model_validate(reading(settings, flip=True).model_dump()).reading == config.Reading(flip=True)
    assert passes(settings) == (Pass(50, mirrored=False),)


def test_the_passes() -> None:
    settings = config.Decoder(timestep=50, reading=config.Reading(flip=True, timesteps=(200,)))
    levels = [(50, False), (50, True), (200, False), (200, True)]
    assert passes(settings) == tuple(Pass(level, mirrored=side) for level, side in levels)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (37, 131)])
def test_every_task_reads_in_several_ways(backbone, settings, name, size) -> None:
    task = task_of(name)
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    several = reading(settings, flip=True, timesteps=[300])
    (once,) = predict_images(backbone, decoder, task, [image], ["a box"], settings)
    (found,) = predict_images(backbone, decoder, task, [image], ["a box"], several)
    assert once.agreement == {}
    assert found.agreement.keys() == {"flip_agreement", "timestep_agreement"}
    assert all(0 <= value <= 1 for value in found.agreement.values())
    assert type(found.target) is type(once.target) and 0 <= found.score <= 1
    planes = next(values for values in vars(found.target).values() if values.shape[-2:] == size)
    assert planes.dtype == next(v for v in vars(once.target).values() if v.shape[-2:] == size).dtype
    (again,) = predict_images(backbone, decoder, task, [image], ["a box"], several)
    assert again.agreement == found.agreement


def test_the_first_pass_is_the_one_that_there_was_before(backbone, settings) -> None:
    latents = torch.rand(1, *backbone.latent_shape)
    arguments = {"words": task_of("instance").words}

    def read_with(chosen):
        return read_features(
            backbone, latents, ["a box"], settings=chosen, generators=[torch.Generator().manual_seed(3)], **arguments
        )

    (alone,), several = read_with(settings), read_with(reading(settings, flip=True))
    torch.testing.assert_close(alone.maps[2], several[0].maps[2], rtol=0, atol=0)
    assert len(several) == 2
    assert not torch.equal(several[1].maps[2].flip(-1), several[0].maps[2])  # the mirror image, and other noise


@pytest.mark.parametrize("name", KINDS)
def test_readings_of_image_and_mirror_image_that_say_the_same_agree(backbone, settings, name) -> None:
    """What is found in the mirror image is mirrored back before it is compared."""
    task = task_of(name)
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (found,) = predict_images(backbone, decoder, task, [image], [""], settings)
    mirrored = found.target.warp(np.array([[-1.0, 0.0, 63.0], [0.0, 1.0, 0.0]]), (64, 64))
    both = passes(reading(settings, flip=True))
    (joined,) = join_readings(task, [[found], [replace(found, target=mirrored)]], both, 64)
    (crossed,) = join_readings(task, [[found], [found]], both, 64)
    assert joined.agreement["flip_agreement"] == pytest.approx(1, abs=1e-4)
    assert crossed.agreement["flip_agreement"] == pytest.approx(found.target.agreement(mirrored), abs=1e-4)
    if isinstance(found.target, SemanticMap):
        np.testing.assert_array_equal(joined.target.labels, found.target.labels)
    if isinstance(found.target, DepthMap):
        np.testing.assert_allclose(joined.target.depth, found.target.depth, rtol=1e-5)


@pytest.mark.skipif(not PHOTOGRAPHS, reason="no photographs on this machine")
def test_a_photograph(backbone, task, settings) -> None:
    image = read_image(PHOTOGRAPHS[0])
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    several = reading(settings, flip=True, timesteps=[200])
    (found,) = predict_images(backbone, decoder, task, [image], ["a box"], several)
    assert found.target.masks.shape[1:] == image.shape[:2]
    (small,) = predict_images(backbone, decoder, task, [image[:65, :97]], ["a box"], several)
    assert small.target.masks.shape[1:] == (65, 97)
    (again,) = predict_images(backbone, decoder, task, [image], ["a box"], several)
    assert_same(again, found)


def test_a_kind_that_cannot_be_joined_is_refused(task) -> None:
    with pytest.raises(DatasetDMError, match=r"cannot be joined for the task 'instance'.*remove decoder\.reading"):
        task.join([Prediction(target="a caption", score=1.0)] * 2)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"reading": {}}, "names no further way to read"),
        ({"reading": {"timesteps": [50]}}, "each noise level may be there once"),
        ({"reading": {"timesteps": [100, 100]}}, "each noise level may be there once"),
        ({"reading": {"timesteps": [2000]}}, "write a noise level"),
    ],
)
def test_readings_that_make_no_sense(values, says) -> None:
    with pytest.raises(ValueError, match=says):
        config.Decoder.model_validate(values)


ATTENTIVE = ("instance", "semantic")  # tasks that masks of words serve


@pytest.mark.parametrize("name", ATTENTIVE)
def test_the_attention_is_read_in_every_pass(backbone, settings, name) -> None:
    task = task_of(name)
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    several = reading(settings, flip=True, attention=True)
    (found,) = predict_images(backbone, decoder, task, [image], ["a box"], several)
    assert found.agreement.keys() == {"flip_agreement", "attention_agreement"}
    (alone,) = predict_images(backbone, decoder, task, [image], ["a box"], reading(settings, flip=True))
    assert digest(vars(found.target)) != digest(vars(alone.target))


@pytest.mark.parametrize("name", ATTENTIVE)
@pytest.mark.parametrize("prompt", ["", "a photo", "a crate"])
def test_without_a_word_to_attend_to_only_the_decoder_is_read(backbone, settings, name, prompt) -> None:
    """Otherwise the attention, which finds nothing, would outvote what the decoder finds."""
    task = task_of(name)
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (found,) = predict_images(backbone, decoder, task, [image], [prompt], reading(settings, attention=True))
    (alone,) = predict_images(backbone, decoder, task, [image], [prompt], settings)
    assert digest(vars(found.target)) == digest(vars(alone.target))
    assert found.score == alone.score and found.agreement == {}


def test_a_category_that_goes_by_another_word_leaves_the_attention_out(backbone, settings) -> None:
    task = task_of("instance")
    (features,) = read_features(
        backbone,
        torch.rand(2, *backbone.latent_shape),
        ["a box", "a box"],
        words=task.words,
        settings=reading(settings, attention=True),
        generators=[torch.Generator().manual_seed(seed) for seed in range(2)],
    )
    mentioned = features.mentioned.clone()
    assert knows_all_named(features, task) == [True, True]
    mentioned[1] = True  # the table says that the second image shows a disc, too
    assert knows_all_named(replace(features, mentioned=mentioned), task) == [True, False]
    assert knows_all_named(replace(features, mentioned=None), task) == [False, False]


def test_records_of_readings_without_attention_stay_what_they_were() -> None:
    assert "attention" not in config.Reading(flip=True).model_dump()
    assert "attention" not in config.MinAgreement(flip=0.5).model_dump()
    assert config.Reading(attention=True).model_dump()["attention"] is True
