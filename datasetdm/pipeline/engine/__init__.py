"""Stages and units of work: resumable, safe to run side by side. Knows nothing of images."""
