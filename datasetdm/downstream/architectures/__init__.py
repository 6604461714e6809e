"""The models that `downstream.model` can name: one file per framework, each with its functions and their entries.

Nothing here imports mmdet or a network of transformers, which takes seconds: wrong settings are found at the start of a
run, and the stages that train nothing do without the frameworks.
"""
