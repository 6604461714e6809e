"""Losses of the P-Decoder."""
