"""A LoRA is trained on each family that takes one, and works when it is loaded as any other."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.lora_training import LoraTraining, Pictures
from datasetdm.diffusion.noise import noise_of
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.errors import DatasetDMError
from tests.diffusion.families import tiny

CAPTIONS = ["a dog", "a car", "a dog and a car", "two people"]
SETTINGS = config.Adaptation(steps=8, rank=2, batch_size=2, learning_rate=3e-2)


def open_family(family: str, folder: Path, **settings: object) -> PipelineBackbone:
    if not folder.exists():
        tiny.save(family, folder)
    return load_backbone(config.Backbone(path=str(folder), image_size=tiny.SIDE, **settings), "cpu")  # type: ignore[return-value]


def pictures(backbone: PipelineBackbone, count: int = 4) -> Pictures:
    """Latents far from what the model was initialised for."""
    generator = torch.Generator().manual_seed(1)
    latents = 1 + 0.1 * torch.randn(count, *backbone.latent_shape, generator=generator)
    return Pictures(latents=latents, captions=CAPTIONS[:count])


@pytest.mark.parametrize(
    ("family", "targets"),
    [("sdxl", SETTINGS.targets), ("sdxl", ("conv1", "to_q")), ("sd3", SETTINGS.targets), ("flux", SETTINGS.targets)],
)
def test_the_error_falls_and_the_lora_loads_through_the_pipeline(
    family: str, targets: tuple[str, ...], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"targets": targets})
    training = LoraTraining(open_family(family, tmp_path / "model"), settings, "x")
    domain = pictures(training.backbone)
    frozen = {name: one.clone() for name, one in training.network.named_parameters() if not one.requires_grad}
    before = training.error(domain)
    assert before == training.error(domain, with_lora=False)  # a LoRA begins without effect
    training.run(domain, None)
    after = training.error(domain)
    assert after < 0.999 * before
    assert training.error(domain, with_lora=False) == before
    assert all(torch.equal(one, dict(training.network.named_parameters())[name]) for name, one in frozen.items())
    training.save(tmp_path / "out")
    changed = {name.rpartition(".lora")[0] for name in load_file(tmp_path / "out" / "lora.safetensors")}
    assert {end for end in targets if any(name.endswith(f".{end}") for name in changed)} == {*targets}
    assert (tmp_path / "out" / "curves.csv").read_text().startswith("iteration,loss\n8,")

    loaded = open_family(family, tmp_path / "model", loras=[{"path": str(tmp_path / "out")}])
    again = LoraTraining(loaded, SETTINGS, "x").error(domain)  # its new LoRA has no effect yet
    assert again == pytest.approx(after, rel=1e-4)


def test_a_training_that_was_cut_off_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasetdm.diffusion.lora_training.SAVE_EVERY", 3)

    def training(identity: str = "x") -> LoraTraining:
        return LoraTraining(open_family("sd3", tmp_path / "model"), SETTINGS, identity)

    whole, checkpoint = training(), tmp_path / "checkpoint.pt"
    domain, prior = pictures(whole.backbone), pictures(whole.backbone, 2)
    whole.run(domain, prior)
    whole.save(tmp_path / "whole")

    class Cut(Exception):
        pass

    cut = training()
    one_step = cut._one_step

    def failing(*pictures: Pictures) -> float:
        if cut.step == 5:
            raise Cut
        return one_step(*pictures)

    monkeypatch.setattr(cut, "_one_step", failing)
    with pytest.raises(Cut):
        cut.run(domain, prior, checkpoint)
    other, resumed = training("y"), training()
    other._resume(checkpoint)
    assert other.step == 0  # of other settings
    resumed._resume(checkpoint)
    assert resumed.step == 3
    resumed.run(domain, prior, checkpoint)
    resumed.save(tmp_path / "resumed")
    first, second = ((tmp_path / name / "lora.safetensors").read_bytes() for name in ("whole", "resumed"))
    assert first == second


def test_the_prior_holds_the_model_back(tmp_path: Path) -> None:
    errors = []
    for weight in (0.0, 50.0):
        settings = SETTINGS.model_copy(update={"prior_weight": weight})
        training = LoraTraining(open_family("sd3", tmp_path / "model"), settings, "x")
        domain = pictures(training.backbone)
        own = Pictures(latents=-domain.latents, captions=domain.captions)
        training.run(domain, own if weight else None)
        errors.append((training.error(domain), training.error(own)))
    assert errors[1][0] > errors[0][0] and errors[1][1] < errors[0][1]


def test_what_cannot_be_trained_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetDMError, match=r"PixArtSigmaPipeline takes no LoRA: remove adapt"):
        LoraTraining(open_family("pixart", tmp_path / "pixart"), SETTINGS, "x")
    backbone = open_family("flux", tmp_path / "flux")
    with pytest.raises(
        DatasetDMError,
        match=r"or convolution of the FluxTrans.* ends with nothing or no: correct adapt\.targets .*with .*to_k,",
    ):
        LoraTraining(backbone, SETTINGS.model_copy(update={"targets": ("nothing", "to_q", "no")}), "x")
    training = LoraTraining(backbone, SETTINGS.model_copy(update={"learning_rate": 1e30, "steps": 30}), "x")
    with pytest.raises(DatasetDMError, match=r"loss of the LoRA is .*lower adapt\.learning_rate"):
        training.run(pictures(backbone), None)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_prediction_of_each_kind_leads_back_to_the_image(prediction_type: str) -> None:
    """The target that is trained is what diffusers' own sampler takes for the network's prediction."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(prediction_type=prediction_type, clip_sample=False)
    noise_kind = noise_of(scheduler)
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([400])
    noisy = noise_kind.add(latents, noise, timesteps)
    scheduler.set_timesteps(1000)
    step = scheduler.step(noise_kind.target(latents, noise, timesteps), 400, noisy)
    torch.testing.assert_close(step.pred_original_sample, latents, rtol=1e-3, atol=1e-3)


def test_the_target_of_flow_matching_leads_back_to_the_image() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    noise_kind = noise_of(scheduler)
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduler.set_timesteps(1)
    (timestep,) = scheduler.timesteps
    noisy = noise_kind.add(latents, noise, timestep[None])
    stepped = scheduler.step(noise_kind.target(latents, noise, timestep[None]), timestep, noisy).prev_sample
    torch.testing.assert_close(stepped, latents, rtol=1e-3, atol=1e-3)
    drawn = noise_kind.sample(2000, torch.Generator().manual_seed(0))
    assert drawn.min() > 0 and drawn.max() < 1000
    assert drawn.median() == pytest.approx(750, abs=20)  # shift 3 moves the middle of the schedule to three quarters
