import itertools

import pytest
import torch

from datasetdm import config
from datasetdm.decoder.p_decoder import PDecoder, mask_size
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError

MINIWORLD = (FeatureLevel(32, 24, 2), FeatureLevel(16, 24, 3), FeatureLevel(8, 16, 1), FeatureLevel(4, 8, 0))
STABLE_DIFFUSION = (FeatureLevel(64, 40, 1), FeatureLevel(32, 40, 5), FeatureLevel(16, 20, 5), FeatureLevel(8, 10, 5))
TWO_LEVELS = (FeatureLevel(16, 12, 1), FeatureLevel(8, 12, 0))
SETTINGS = config.Decoder(hidden_dim=16, num_queries=5, num_layers=3, num_heads=4, feedforward_dim=32)
WORDS = 6


def make_features(
    info: tuple[FeatureLevel, ...], side: int, batch: int = 2, words: int = WORDS, seed: int = 0
) -> DiffusionFeatures:
    generator = torch.Generator().manual_seed(seed)
    return DiffusionFeatures(
        maps={
            level.stride: torch.randn(
                batch, level.channels, side // level.stride, side // level.stride, generator=generator
            )
            for level in info
        },
        attention={
            level.stride: torch.rand(
                batch, words, level.attention_layers, side // level.stride, side // level.stride, generator=generator
            )
            for level in info
            if level.attention_layers
        },
    )


def build(info: tuple[FeatureLevel, ...] = MINIWORLD, *, queries: bool = True, dense: int = 0) -> PDecoder:
    torch.manual_seed(0)
    return PDecoder(info, WORDS, SETTINGS, num_classes=7, uses_queries=queries, dense_channels=dense)


@pytest.mark.parametrize(
    ("info", "side", "masks"), [(MINIWORLD, 64, 32), (STABLE_DIFFUSION, 128, 32), (TWO_LEVELS, 64, 16)]
)
def test_sizes_itself_from_what_the_backbone_reports(info: tuple[FeatureLevel, ...], side: int, masks: int) -> None:
    features = make_features(info, side)
    outputs = build(info)(features)
    assert outputs["pred_logits"].shape == (2, 5, 8)
    assert outputs["pred_masks"].shape == (2, 5, masks, masks)
    assert mask_size(features) == (masks, masks)
    assert len(outputs["aux_outputs"]) == SETTINGS.num_layers
    assert all(layer["pred_masks"].shape == outputs["pred_masks"].shape for layer in outputs["aux_outputs"])


def test_heads_are_switched_by_the_task() -> None:
    features = make_features(MINIWORLD, 64)
    assert set(build(queries=False, dense=3)(features)) == {"dense"}
    assert build(queries=False, dense=3)(features)["dense"].shape == (2, 3, 32, 32)
    assert set(build(queries=True, dense=1)(features)) == {"dense", "pred_logits", "pred_masks", "aux_outputs"}


def test_channels_are_left_out_in_training_alone() -> None:
    settings = SETTINGS.model_copy(update={"dropout": 0.5})
    decoder = PDecoder(MINIWORLD, WORDS, settings, num_classes=7, uses_queries=False, dense_channels=1)
    features = make_features(MINIWORLD, 64)
    source = decoder.pixel_decoder.inputs[0]
    whole, left = source.eval()(features), source.train()(features)
    missing = (left == 0).flatten(2).all(dim=2)
    assert 0.3 < missing.float().mean() < 0.7
    torch.testing.assert_close(left[~missing], 2 * whole[~missing])  # the sum over the channels stays about the same


def test_an_image_is_read_on_its_own() -> None:
    decoder = build().train()  # even in training mode: nothing is normalised over the batch
    first, second = make_features(MINIWORLD, 64, batch=1), make_features(MINIWORLD, 64, batch=1, seed=1)
    together = decoder(DiffusionFeatures.cat([first, second]))
    for index, alone in enumerate([decoder(first), decoder(second)]):
        torch.testing.assert_close(together["pred_masks"][index], alone["pred_masks"][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together["pred_logits"][index], alone["pred_logits"][0], atol=1e-4, rtol=1e-4)


def test_calibration_undoes_the_scale_of_the_backbone() -> None:
    features = make_features(MINIWORLD, 64)
    scaled = DiffusionFeatures(
        maps={stride: 1000 * values + 50 for stride, values in features.maps.items()}, attention=features.attention
    )
    plain, other = build(), build()
    plain.calibrate(features)
    other.calibrate(scaled)
    torch.testing.assert_close(plain(features)["pred_masks"], other(scaled)["pred_masks"], atol=1e-3, rtol=1e-3)


def test_attention_of_many_layers_reads_as_their_mean() -> None:
    features = make_features(MINIWORLD, 64)
    mean = {stride: values.mean(dim=2, keepdim=True) for stride, values in features.attention.items()}
    decoder = build()
    torch.testing.assert_close(
        decoder(features)["pred_logits"], decoder(DiffusionFeatures(features.maps, mean))["pred_logits"]
    )
    other = {stride: values.flip(1) for stride, values in mean.items()}
    changed = decoder(DiffusionFeatures(features.maps, other))["pred_logits"]
    assert not torch.allclose(changed, decoder(features)["pred_logits"])


def test_half_precision_features_are_read() -> None:
    decoder, features = build(), make_features(MINIWORLD, 64)
    outputs = decoder(features.apply(lambda values: values.half()))
    assert outputs["pred_masks"].dtype == torch.float32
    torch.testing.assert_close(outputs["pred_logits"], decoder(features)["pred_logits"], atol=0.05, rtol=0.05)


def test_every_parameter_learns() -> None:
    decoder = build(dense=1)
    outputs = decoder(make_features(MINIWORLD, 64))
    layers = [outputs, *outputs["aux_outputs"]]
    tensors = itertools.chain.from_iterable((layer["pred_logits"], layer["pred_masks"]) for layer in layers)
    (sum(tensor.square().mean() for tensor in tensors) + outputs["dense"].square().mean()).backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None] == []


def test_heads_that_do_not_divide_the_width_are_a_clear_error() -> None:
    settings = config.Decoder().model_copy(update={"hidden_dim": 20})  # past the settings' own check
    with pytest.raises(DatasetDMError, match="hidden_dim"):
        PDecoder(MINIWORLD, WORDS, settings, num_classes=2, uses_queries=True, dense_channels=0)
