"""The texts that the diffusion model draws from."""

from datasetdm.prompts.table import encode_prompts, load_prompts
from datasetdm.prompts.templates import choose_subjects, write_prompts

__all__ = ["choose_subjects", "encode_prompts", "load_prompts", "write_prompts"]
