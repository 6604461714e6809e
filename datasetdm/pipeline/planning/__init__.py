"""What a benchmark is going to cost: work counted from the settings, rates from a short calibration.

`work` counts what each unit of a stage does (images, iterations), `calibration` measures how long one of these takes on
this machine by running the same code on a few images, `plan` multiplies. `cards` says what changes on another GPU.
"""
