"""The small decoder and its data, which the tests of the decoder have, too."""

from tests.decoder.conftest import backbone, samples, settings, task

__all__ = ["backbone", "samples", "settings", "task"]
