"""Annotations: the data of every task, as they travel between the rooms."""
