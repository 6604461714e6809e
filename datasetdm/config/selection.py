"""The settings of the choice of prompts out of more than are needed."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from datasetdm.config.base import Section


class Selection(Section):
    """Which of the written prompts are drawn."""

    candidates: PositiveInt = Field(default=3, description="Prompts to choose from, times num_prompts")
    balance: Literal["uniform", "real", "sqrt"] = Field(
        default="uniform",
        description="Share of each category: the same, as in the labelled images, or as the root of that",
    )
    duplicates: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.97,
        description="Cosine similarity of text embeddings from which a prompt counts as another one's duplicate",
    )
