"""A tiny language model."""

from tests.prompts.language_model.conftest import tiny_model

__all__ = ["tiny_model"]
