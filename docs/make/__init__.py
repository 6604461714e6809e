"""What is generated in the documentation: reference pages, and figures from real outputs.

`python -m docs.make` writes the pages; `python -m docs.make.figures` and `python -m docs.make.labelling` draw figures.
"""
