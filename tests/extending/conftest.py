"""A project folder with tiny settings."""

from tests.pipeline.conftest import edit, project

__all__ = ["edit", "project"]
