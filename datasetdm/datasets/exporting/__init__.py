"""Annotated sets in the formats of other tools: one file per format, and the registry `formats.FORMATS`.

`datasetdm export` decides what is exported (`datasetdm.pipeline.export_data`). Here it is written: `exporting.export`
makes the folder, and a format's function fills it.
"""
