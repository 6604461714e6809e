"""What every family has to do, on tiny pipelines of the real classes with random weights."""

import pytest
import torch

from datasetdm import config
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.synthesis.generate import GenerationRequest, draw
from tests.diffusion.families import tiny

PROMPTS = ["two Dogs on the grass", "a red car and a traffic light"]
WORDS = [*map(Word, ["dog", "car", "traffic light"])]


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def read(backbone: PipelineBackbone, latents: torch.Tensor, timestep, *seeds: int, prompts=PROMPTS):
    return backbone.extract(
        latents, prompts[: len(latents)], timestep=timestep, words=WORDS, generators=generators(*seeds)
    )


def some_latents(backbone: PipelineBackbone, count: int = 2) -> torch.Tensor:
    return torch.randn(count, *backbone.latent_shape, generator=generators(9)[0])


def test_features_have_the_shapes_that_the_backbone_announces(backbone: PipelineBackbone) -> None:
    features = read(backbone, some_latents(backbone), 50, 0, 1)
    strides = [level.stride for level in backbone.feature_info]
    assert len(strides) > 1 and strides == sorted(strides, reverse=True) == [*features.maps]
    for level in backbone.feature_info:
        side = tiny.SIDE // level.stride
        assert features.maps[level.stride].shape == (2, level.channels, side, side)
        assert features.maps[level.stride].dtype == torch.float32
        assert features.maps[level.stride].std() > 0
        if level.attention_layers:
            assert features.attention[level.stride].shape == (2, 3, level.attention_layers, side, side)
    assert set(features.attention) <= set(strides) and features.attention


def test_attention_is_that_of_the_words_in_the_prompt(backbone: PipelineBackbone) -> None:
    features = read(backbone, some_latents(backbone), 50, 0, 1)
    assert features.mentioned.tolist() == [[True, False, False], [False, True, True]]
    for maps in features.attention.values():
        mass = maps.sum(dim=(2, 3, 4))
        assert ((mass > 0) == features.mentioned).all()


def test_self_attention_is_read_only_if_asked_for(backbone: PipelineBackbone) -> None:
    own = {"timestep": 50, "words": WORDS}
    latents = some_latents(backbone)
    plain = backbone.extract(latents, PROMPTS, **own, generators=generators(0, 1))
    asked = backbone.extract(latents, PROMPTS, **own, generators=generators(0, 1), self_attention=True)
    assert plain.self_attention == {} and asked.self_attention
    for stride, together in asked.self_attention.items():
        places = (tiny.SIDE // stride) ** 2
        assert together.shape == (2, places, places)
        torch.testing.assert_close(together.sum(dim=-1), torch.ones(2, places))
        assert together.std() > 1e-5 and not torch.equal(together[0], together[1])
    for before, after in ((plain.maps, asked.maps), (plain.attention, asked.attention)):
        assert all(torch.equal(values, after[stride]) for stride, values in before.items())
    (stride, together), *_ = asked.self_attention.items()
    assert torch.equal(asked.select(torch.tensor([1])).self_attention[stride], together[1:])
    assert torch.equal(type(asked).cat([asked, asked]).self_attention[stride][2:], together)


def test_reading_depends_on_the_image_alone(backbone: PipelineBackbone) -> None:
    latents = some_latents(backbone)
    together = read(backbone, latents, [20, 300], 0, 1)
    alone = read(backbone, latents[1:], 300, 1, prompts=PROMPTS[1:])
    for stride, maps in alone.maps.items():
        torch.testing.assert_close(together.maps[stride][1:], maps, rtol=1e-3, atol=1e-4)
    for stride, maps in alone.attention.items():
        torch.testing.assert_close(together.attention[stride][1:], maps, rtol=1e-3, atol=1e-4)
    again = read(backbone, latents[1:], 300, 1, prompts=PROMPTS[1:])
    assert all(torch.equal(maps, again.maps[stride]) for stride, maps in alone.maps.items())


def test_images_are_the_same_to_the_last_bit_whatever_their_neighbours(backbone: PipelineBackbone) -> None:
    sampler = config.Sampler(num_inference_steps=2, guidance_scale=2.0, scheduler="model")
    requests = [
        GenerationRequest(index=index, prompt_id=index, prompt=prompt, seed=index)
        for index, prompt in enumerate([*PROMPTS, "a dog"])
    ]
    together = draw(backbone, requests, sampler, batch_size=4)
    assert together.shape == (3, *backbone.latent_shape)
    assert torch.equal(together[2:], draw(backbone, requests[2:], sampler, batch_size=4))
    assert torch.equal(together.flip(0), draw(backbone, requests[::-1], sampler, batch_size=4))
    assert (together[0] - together[1]).abs().max() > 1e-3
    images = backbone.decode(together)
    assert images.shape == (3, tiny.SIDE, tiny.SIDE, 3) and images.dtype == torch.uint8


def test_noise_levels_are_shares_of_the_schedule(backbone: PipelineBackbone) -> None:
    latents = some_latents(backbone, 1)
    share, timestep = read(backbone, latents, 0.25, 0), read(backbone, latents, 250, 0)
    for stride, maps in share.maps.items():
        assert torch.equal(maps, timestep.maps[stride])

    def spread(level: float) -> float:
        """How much the noise changes the features, relative to how much the image does."""
        by_noise = [read(backbone, latents, level, seed).maps for seed in (0, 1)]
        by_image = [read(backbone, latents * scale, level, 0).maps for scale in (1, -1)]
        apart = [max((one[s] - two[s]).abs().max().item() for s in one) for one, two in (by_noise, by_image)]
        return apart[0] / max(apart[1], 1e-9)

    assert spread(0.02) < 1 < spread(0.9)


def test_the_network_is_given_what_its_pipeline_gives_it(family: str) -> None:
    """Unguided, the pipeline's own last pass and the one that is read predict the same."""
    backbone = build(family, layers=[""])
    predictions: list[torch.Tensor] = []
    hook = backbone.denoiser.register_forward_hook(
        lambda _module, _inputs, output: predictions.append(backbone.as_map(output_of(output)))
    )
    drawn = backbone.generate(
        PROMPTS,
        generators=generators(0, 1),
        num_inference_steps=3,
        guidance_scale=1.0,
        scheduler="model",
        words=WORDS,
    )
    hook.remove()
    assert len(predictions) == 4  # three steps, and the pass that is read
    torch.testing.assert_close(predictions[-1], predictions[-2])
    (maps,) = drawn.features.maps.values()
    assert torch.equal(maps, predictions[-1])
    assert drawn.features.mentioned.any()


def test_a_words_map_lights_up_where_its_key_matches_the_query(family: str) -> None:
    """The projections of one layer are set so that the queries of the upper left quarter match the key of "dog"."""
    name = build(family).default_attention()[0]
    backbone = build(family, attention_layers=[name])
    layer = backbone.denoiser.get_submodule(name)
    inputs = {}

    def keep(_module, args, kwargs) -> None:
        inputs["image"], inputs["text"] = (*args, kwargs.get("hidden_states"))[0], kwargs["encoder_hidden_states"]

    prompt, latents = ["a dog and a car"], some_latents(backbone, 1)
    hook = layer.register_forward_pre_hook(keep, with_kwargs=True)
    read(backbone, latents, 100, 0, prompts=prompt)
    hook.remove()
    side = int(inputs["image"].shape[1] ** 0.5)
    quarter = torch.zeros(side, side, dtype=torch.bool)
    quarter[: side // 2, : side // 2] = True
    marked = word_tokens(backbone, prompt, "dog")
    key = layer.add_k_proj if getattr(layer, "add_k_proj", None) is not None else layer.to_k
    point(layer.to_q, inputs["image"][0], quarter.flatten(), layer.heads)
    point(key, inputs["text"][0], marked, layer.heads)

    (attention,) = read(backbone, latents, 100, 0, prompts=prompt).attention.values()
    dog, car = attention[0, :2, 0]
    assert dog[quarter].min() > 3 * dog[~quarter].max()
    assert dog[quarter].min() > 3 > car[quarter].max()


def test_settings_that_the_family_cannot_follow_are_refused(family: str) -> None:
    backbone = build(family)

    def drawn(**changes: object):
        options = {"num_inference_steps": 1, "guidance_scale": 2.0, "scheduler": "model"} | changes
        return backbone.generate(["a dog"], generators=generators(0), **options)

    if family in ("sd3", "flux"):
        with pytest.raises(DatasetDMError, match="flow matching: set it to model"):
            drawn(scheduler="ddim")
    else:
        drawn(scheduler="ddim")
    if family == "sdxl":
        drawn(guidance_rescale=0.5)
    else:
        with pytest.raises(DatasetDMError, match=r"cannot rescale its guidance: remove.*guidance_rescale"):
            drawn(guidance_rescale=0.5)


def test_nothing_stays_in_the_network(backbone: PipelineBackbone) -> None:
    before = {name: type(one) for name, one in backbone.denoiser.attn_processors.items()}
    read(backbone, some_latents(backbone), 50, 0, 1)
    assert {name: type(one) for name, one in backbone.denoiser.attn_processors.items()} == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.denoiser.modules())


def test_words_have_embeddings(backbone: PipelineBackbone) -> None:
    dog, car = backbone.embed_words(["dog", "car"])
    assert dog.dtype == torch.float32 and (dog - car).abs().max() > 1e-3
    assert backbone.embed_words([]).shape == (0, len(dog))


def build(family: str, **options: object) -> PipelineBackbone:
    """A backbone of its own, not from a file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = tiny.BUILDERS[family]()
    return tiny.CLASSES[family](pipeline, image_size=tiny.SIDE, device=torch.device("cpu"), fingerprint="x", **options)


def output_of(output: object) -> object:
    """A pipeline asks for tuples, `as_map` gets what the network returns when it is read."""
    from diffusers.models.modeling_outputs import Transformer2DModelOutput

    return Transformer2DModelOutput(sample=output[0]) if isinstance(output, tuple) else output


def word_tokens(backbone: PipelineBackbone, prompt: list[str], word: str) -> torch.Tensor:
    from datasetdm.diffusion.words import word_token_weights

    return word_token_weights(backbone.prompt_tokens(), prompt, [Word(word)])[0, 0] > 0


@torch.no_grad()
def point(projection: torch.nn.Linear, states: torch.Tensor, marked: torch.Tensor, heads: int) -> None:
    """Make a projection's output long along the first direction of each head: forward for marked states, else backward.

    That direction is not turned by rotary embeddings: its axis has the same position for all tokens.
    """
    wanted = torch.where(marked, 1.0, -1.0)
    share = torch.where(marked, 1 / marked.sum(), 1 / (~marked).sum()).sqrt()  # both kinds count the same
    with_one = torch.cat([states, torch.ones(len(states), 1)], dim=1)
    solution = torch.linalg.lstsq(with_one * share[:, None], (wanted * share)[:, None], driver="gelsd").solution[:, 0]
    reached = with_one @ solution
    assert ((reached > 0) == marked).all()  # the states can be told apart
    direction = torch.zeros(heads, projection.out_features // heads)
    direction[:, 0] = 6.0
    projection.weight.copy_(direction.flatten()[:, None] * solution[None, :-1])
    if projection.bias is None:
        projection.bias = torch.nn.Parameter(torch.zeros(projection.out_features))
    projection.bias.copy_(direction.flatten() * solution[-1])
