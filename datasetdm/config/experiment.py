"""The settings of the comparison: which arms are trained, and what they mix."""

from typing import Annotated

from pydantic import AfterValidator, Field

from datasetdm.arms import ARMS
from datasetdm.config.base import Fraction, Section, key_of, once_each

ArmName = Annotated[str, key_of(ARMS)]


class Experiment(Section):
    """What is compared. The model and its training are the same for all arms (`downstream`)."""

    # `arms` has no default, because dvc.yaml refers to it and DVC stops if params.yaml does not have it.
    arms: Annotated[tuple[ArmName, ...], AfterValidator(once_each)] = Field(
        min_length=1, description="What is compared: names in `ARMS` of datasetdm/arms.py"
    )
    p_decoder: bool = Field(default=False, description="Also report the P-Decoder itself on the test images")
    real_weight: Fraction = Field(
        default=0.5, description="Share of real images in a batch of `both`, `real_augmented` and `self_training`"
    )
    finetune_fraction: Fraction = Field(
        default=0.0, description="Share of the iterations, at the end of the same arms, that see real images alone"
    )
    self_training_threshold: Fraction = Field(
        default=0.5, description="Lowest confidence of the labels of `self_training`; choose it on dev"
    )
