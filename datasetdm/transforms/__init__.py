"""Changes of an image together with its annotation."""
