"""What the diffusion model is asked to draw."""

from datasetdm.prompts.table import load_prompts, save_prompts
from datasetdm.prompts.templates import write_prompts

__all__ = ["load_prompts", "save_prompts", "write_prompts"]
