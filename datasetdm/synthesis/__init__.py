"""Drawn images and their annotations."""
