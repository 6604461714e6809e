"""The samplers that images can be drawn with."""

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler

from datasetdm.diffusion.noise import matches_flow
from datasetdm.errors import DatasetDMError


def make_scheduler(name: str, own: Any) -> Any:
    """A fresh sampler with the noise schedule and the kind of prediction of the model's own scheduler.

    Raises:
        DatasetDMError: for an unknown name; PNDM with a model that starts from pure noise, where it divides by zero; a
            sampler of denoising diffusion with a model of flow matching.
    """
    if name == "model":
        return type(own).from_config(own.config)
    if matches_flow(own):
        raise DatasetDMError(
            f"synthesis.sampler.scheduler is '{name}' in params.yaml, but this model was trained with flow matching: "
            "set it to model."
        )
    if name == "ddim":
        return DDIMScheduler.from_config(own.config, clip_sample=False)
    if name == "dpmsolver++":
        return DPMSolverMultistepScheduler.from_config(own.config, algorithm_type="dpmsolver++", solver_order=2)
    if name == "pndm":
        if own.config.get("rescale_betas_zero_snr"):
            raise DatasetDMError(
                "PNDM cannot start from the zero terminal SNR of this model: "
                "set synthesis.sampler.scheduler in params.yaml to dpmsolver++ or ddim."
            )
        return PNDMScheduler.from_config(own.config, skip_prk_steps=True)
    raise DatasetDMError(
        f"synthesis.sampler.scheduler '{name}' is unknown; it is one of dpmsolver++, ddim, pndm, model."
    )
