"""What the diffusion model is asked to draw."""

from datasetdm.prompts.table import load_prompts, save_prompts
from datasetdm.prompts.templates import choose_subjects, write_prompts

__all__ = ["choose_subjects", "load_prompts", "save_prompts", "write_prompts"]
