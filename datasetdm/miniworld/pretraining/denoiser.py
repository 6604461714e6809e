"""Pretraining, second stage: the U-Net and its text encoder, jointly, on latents and captions."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from datasetdm.miniworld.pretraining import progress
from datasetdm.miniworld.pretraining.alignment import Aligner, alignment_loss, read_targets
from datasetdm.miniworld.pretraining.autoencoder import to_tensor
from datasetdm.miniworld.pretraining.pool import ImagePool
from datasetdm.miniworld.pretraining.recipe import Recipe, require_pipeline

STAGE = 2

#: Noisy latents, timesteps and token ids to the predicted v and whatever is aligned.
Pass = Callable[..., tuple[torch.Tensor, ...]]


class Denoiser(nn.Module):
    """U-Net and text encoder as one trainable module."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """Predicted v (B x C x h x w) of noisy latents, at timestep B, for token ids B x L."""
        prediction: torch.Tensor = self.unet(latents, timestep, self.text_encoder(input_ids)[0]).sample
        return prediction


class Trained(nn.Module):
    """All that the optimiser changes; as one module, its pass is captured as a whole."""

    def __init__(self, denoiser: Denoiser, aligner: Aligner | None) -> None:
        super().__init__()
        self.denoiser, self.aligner = denoiser, aligner

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The denoiser's v and, if there is an aligner, what it makes of the U-Net's features on the way."""
        prediction = self.denoiser(latents, timestep, input_ids)
        return (prediction, self.aligner()) if self.aligner else (prediction,)


@dataclass(frozen=True)
class Progress:
    """How far the training has come."""

    step: int
    samples: int
    seconds: float


def train_denoiser(
    recipe: Recipe,
    pool: ImagePool,
    vae: AutoencoderTiny,
    tokenizer: PreTrainedTokenizerFast,
    export: Callable[[Denoiser, Progress], None],
) -> None:
    """Train, or resume, all phases; `export` gets the averaged weights at the start, every few steps and at the end."""
    torch.manual_seed(recipe.seed)
    model = (load_denoiser(recipe.start) if recipe.start else build_denoiser(recipe, tokenizer)).to(recipe.device)
    average = copy.deepcopy(model).requires_grad_(False)
    aligned = recipe.alignment
    trained = Trained(model, Aligner(model.unet).to(recipe.device) if aligned else None)
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )
    path = recipe.work / "denoiser.pt"
    done = Progress(0, 0, 0.0)
    state = progress.load_checkpoint(path)
    if state:
        trained.load_state_dict(state["trained"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        done = Progress(state["step"], state["samples"], state["seconds"])
    export(average, done)  # the autoencoder may be new, and a run that cannot export should fail before it trains
    if done.step == sum(phase.steps for phase in recipe.phases):
        return
    targets = read_targets(pool, aligned.resnet, recipe.device) if aligned else torch.empty(0)
    scheduler = build_scheduler()
    input_ids = tokenize_captions(tokenizer, pool.captions).to(recipe.device)
    empty = tokenize_captions(tokenizer, [[""]])[0, 0].to(recipe.device)
    log = progress.Log(recipe.work / "log.csv", "denoiser")
    first = 0
    trained.train()
    run: Pass = trained
    for phase in recipe.phases:
        last = first + phase.steps
        pool_latents = encode_pool(pool, vae, phase.image_size) if done.step < last else torch.empty(0)
        if recipe.cuda_graph and done.step < last:
            generator = progress.step_generator(recipe.seed, STAGE, first, recipe.device)
            index, captions = sample_batch(input_ids, empty, phase.batch_size, recipe.empty_captions, generator)
            run = captured(trained, pool_latents[index].float(), captions, recipe)
        for step in range(max(first, done.step), last):
            began = time.monotonic()
            rate = progress.learning_rate(
                phase.learning_rate, step - first, phase.steps, warmup=phase.warmup, decay=phase.decay
            )
            progress.set_learning_rate(optimizer, rate)
            generator = progress.step_generator(recipe.seed, STAGE, step, recipe.device)
            index, captions = sample_batch(input_ids, empty, phase.batch_size, recipe.empty_captions, generator)
            latents = pool_latents[index].float()
            with torch.autocast(torch.device(recipe.device).type, torch.bfloat16, enabled=recipe.autocast):
                noised = add_noise(scheduler, latents, generator)
                prediction, *seen = run(noised.latents, noised.timestep, captions)
                losses = {f"loss_{phase.image_size}": noised.loss(prediction, recipe.snr_clip)}
                if aligned:
                    losses["alignment"] = aligned.weight * alignment_loss(seen[0], targets[index])
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimizer.step()
            update_average(average, model, min(recipe.ema_decay, (1 + step) / (10 + step)))
            log.add(step, rate, losses)
            done = Progress(step + 1, done.samples + phase.batch_size, done.seconds + time.monotonic() - began)
            if done.step % recipe.checkpoint_every == 0:
                _save(path, trained, average, optimizer, done)
            if done.step % recipe.export_every == 0:
                export(average, done)
        first = last
    _save(path, trained, average, optimizer, done)
    export(average, done)


def captured(trained: Trained, latents: torch.Tensor, input_ids: torch.Tensor, recipe: Recipe) -> Pass:
    """The same weights and the same pass as a CUDA graph, for inputs of these shapes: B x C x h x w and B x L.

    A small U-Net runs thousands of short kernels; if they start one by one, some of them wait for the host.
    """
    timestep = torch.zeros(len(latents), dtype=torch.long, device=latents.device)
    shell = Trained(trained.denoiser, trained.aligner)  # the capture replaces a module's forward
    with torch.autocast("cuda", torch.bfloat16, enabled=recipe.autocast, cache_enabled=False):
        torch.cuda.make_graphed_callables(shell, (latents, timestep, input_ids))
    return shell


def _save(path: Path, trained: nn.Module, average: Denoiser, optimizer: torch.optim.Optimizer, done: Progress) -> None:
    tensors = {"trained": trained.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    progress.save_checkpoint(path, {**tensors, "step": done.step, "samples": done.samples, "seconds": done.seconds})


def build_denoiser(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Denoiser:
    """An untrained U-Net and text encoder of the recipe's size."""
    text = recipe.text_encoder
    channels = recipe.unet.block_out_channels
    lower = len(channels) - 1
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=text.hidden_size,
            intermediate_size=4 * text.hidden_size,
            projection_dim=text.hidden_size,
            num_hidden_layers=text.num_layers,
            num_attention_heads=text.num_heads,
            max_position_embeddings=text.max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=recipe.images.size // recipe.autoencoder.factor,
        in_channels=recipe.autoencoder.latent_channels,
        out_channels=recipe.autoencoder.latent_channels,
        block_out_channels=channels,
        layers_per_block=recipe.unet.layers_per_block,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * lower,
        up_block_types=("CrossAttnUpBlock2D",) * lower + ("UpBlock2D",),
        cross_attention_dim=text.hidden_size,
        attention_head_dim=tuple(max(1, c // recipe.unet.head_dim) for c in channels),
        norm_num_groups=recipe.unet.norm_num_groups,
    )
    return Denoiser(unet, text_encoder)


def load_denoiser(folder: Path) -> Denoiser:
    """U-Net and text encoder of an exported pipeline, to train them further with a new optimiser and new averages.

    Raises:
        DatasetDMError: the folder holds no exported pipeline.
    """
    require_pipeline(folder)
    return Denoiser(
        UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32),
        CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32),
    )


def build_scheduler() -> DDIMScheduler:
    """v-prediction with zero terminal SNR (arXiv 2305.08891), or noise would decide how bright a scene is."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


@torch.no_grad()
def encode_pool(pool: ImagePool, vae: AutoencoderTiny, image_size: int) -> torch.Tensor:
    """Latents of all images of the pool at one size: float16 on the autoencoder's device, N x C x h x w."""
    latents = []
    for images in pool.batches():
        pixels = to_tensor(images, vae.device)
        latents.append(vae.encode(F.avg_pool2d(pixels, pixels.shape[-1] // image_size)).latents.half())
    return torch.cat(latents)


def tokenize_captions(tokenizer: PreTrainedTokenizerFast, captions: list[list[str]]) -> torch.Tensor:
    """Token ids, int64, N x K x L, of K captions of each of N images."""
    texts = [text for texts in captions for text in texts]
    encoded = tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    return encoded.input_ids.view(len(captions), len(captions[0]), -1)


def sample_batch(
    input_ids: torch.Tensor, empty: torch.Tensor, count: int, empty_captions: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (int64, `count`) of random images, and for each one of its captions (`count` x L) or the empty one."""
    device = generator.device
    index = torch.randint(len(input_ids), (count,), generator=generator, device=device)
    choice = torch.randint(input_ids.shape[1], (count,), generator=generator, device=device)
    captions = input_ids[index, choice]
    dropped = torch.rand(count, generator=generator, device=device) < empty_captions
    return index, torch.where(dropped[:, None], empty, captions)


@dataclass(frozen=True)
class Noised:
    """Noisy latents with what the denoiser should predict for them.

    Attributes:
        latents: float B x C x h x w.
        timestep: int64, B.
        target: v, like the latents.
        alphas: cumulated alphas at the timesteps, B: SNR / (1 + SNR).
    """

    latents: torch.Tensor
    timestep: torch.Tensor
    target: torch.Tensor
    alphas: torch.Tensor

    def loss(self, prediction: torch.Tensor, snr_clip: float) -> torch.Tensor:
        """Mean squared error of v, weighted min(1, clip / SNR).

        This is min-SNR weighting (arXiv 2303.09556) except at low SNR, where v keeps the full weight: min-SNR would
        give the terminal step, at which SNR is zero, none at all.
        """
        weight = (snr_clip * (1 - self.alphas) / self.alphas.clamp(min=1e-8)).clamp(max=1.0)
        return (weight * (prediction.float() - self.target).square().mean((1, 2, 3))).mean()


def add_noise(scheduler: DDIMScheduler, latents: torch.Tensor, generator: torch.Generator) -> Noised:
    """Noise latents B x C x h x w to random timesteps, stratified over the batch."""
    count, device = len(latents), latents.device
    steps = scheduler.config.num_train_timesteps
    strata = torch.arange(count, device=device) + torch.rand(count, generator=generator, device=device)
    timestep = (strata * steps / count).long().clamp(max=steps - 1)
    noise = torch.randn(latents.shape, generator=generator, device=device)
    return Noised(
        latents=scheduler.add_noise(latents, noise, timestep),
        timestep=timestep,
        target=scheduler.get_velocity(latents, noise, timestep),
        alphas=scheduler.alphas_cumprod.to(device)[timestep],
    )


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights.

    torch's `AveragedModel` copies the weights at its first update, and its EMA has no warm-up of the decay.
    """
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
