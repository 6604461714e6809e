"""Doubtful labels: found by a model, sent to a person, and taken back."""
