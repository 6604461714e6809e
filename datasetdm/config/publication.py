"""What a published set says of its licences and its makers: only a person knows it, so nothing here is guessed."""

from pydantic import Field

from datasetdm.config.base import Names, Section, Text

_LICENCE = "an identifier of the Hugging Face Hub such as cc-by-4.0, or the name of another licence; None: unknown"


class Publication(Section):
    """For `datasetdm publish`; no stage depends on it."""

    title: Text | None = Field(default=None, description="Of the data set; None: made from the benchmark's name")
    authors: Names = Field(default=(), description="Who publishes it")
    license: Text | None = Field(default=None, description=f"Of the published data and models: {_LICENCE}")
    generator_license: Text | None = Field(
        default=None, description=f"Of the diffusion model's weights, unless its model card says so: {_LICENCE}"
    )
    real_license: Text | None = Field(
        default=None, description=f"Of the labelled images that the P-Decoder learnt from: {_LICENCE}"
    )
    url: Text | None = Field(default=None, description="Where it will be found, if not on the hub")
