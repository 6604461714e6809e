"""A measurement of the stage `adapt`: a step of the training of a LoRA."""

from datasetdm.arms import LABELLED
from datasetdm.pipeline.planning.rate import Rate, measure
from datasetdm.pipeline.planning.rehearsal import NUM_REAL, Rehearsal
from datasetdm.utils.progress import say

PORTION = 2  # steps in a row


def steps(rehearsal: Rehearsal) -> Rate:
    """A step of the training, with the images that the model drew before where the settings want them.

    Raises:
        DatasetDMError: the diffusion model is missing.
    """
    from datasetdm.diffusion.lora_training import LoraTraining  # seconds to import
    from datasetdm.pipeline.lora import encode_pictures, plain_backbone

    settings = rehearsal.adaptation
    assert settings is not None  # there is no step to ask about otherwise
    say("training a LoRA for a few steps")
    device = rehearsal.device  # of a model that is there
    backbone = plain_backbone(rehearsal.context)
    samples = rehearsal.images(LABELLED.subset(rehearsal.context.seeds[0]), NUM_REAL)
    pictures = encode_pictures(backbone, ((sample.image, sample.caption) for sample in samples))
    training = LoraTraining(backbone, settings.model_copy(update={"steps": PORTION}), identity="plan")

    def train() -> int:
        training.step = 0
        training.run(pictures, pictures if settings.prior_weight else None)
        return PORTION

    return measure(train, device)
