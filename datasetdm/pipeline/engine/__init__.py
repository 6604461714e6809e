"""Stages and units of work: resumable, and safe to run several times at once, on several machines.

A stage plans its units (`plan`), makes those that are missing (`units`) and publishes what they add up to (`publish`).
`stage` says what a stage is, `run` runs one. Nothing here knows of images, models or settings.
"""
