"""Helpers that every package uses: files, digests, seeds, devices, progress."""
