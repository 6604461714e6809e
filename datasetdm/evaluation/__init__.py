"""The field's own metrics, fed one image at a time."""
