"""Data sets: reading the field's layouts, choosing images, writing the standard formats."""
