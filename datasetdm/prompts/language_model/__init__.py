"""Prompts by a language model: what it is asked, what of its answers is taken, and what is kept for the next time."""

from datasetdm.prompts.language_model.asking import Asker
from datasetdm.prompts.language_model.chat import Answer, ChatModel, Question
from datasetdm.prompts.language_model.checks import Checks, Rejection
from datasetdm.prompts.language_model.harvest import Harvest, harvest
from datasetdm.prompts.language_model.instruction import Instruction, load_instruction
from datasetdm.prompts.language_model.models import open_model

__all__ = [
    "Answer",
    "Asker",
    "ChatModel",
    "Checks",
    "Harvest",
    "Instruction",
    "Question",
    "Rejection",
    "harvest",
    "load_instruction",
    "open_model",
]
