"""How much of a prompt the text encoders of the benchmark's diffusion model read."""

from collections.abc import Sequence

from datasetdm.diffusion import text_readers
from datasetdm.pipeline.context import Context
from datasetdm.prompts.text_limits import TextLimits


def text_limits(context: Context) -> TextLimits:
    """The limits of the text encoder that matters most; CLIP's if the model is not on this machine yet."""
    readers = text_readers(context.params.backbone)
    return (
        TextLimits(tokenizer=readers[0].tokenizer, length=readers[0].length) if readers else TextLimits(tokenizer=None)
    )


def cut_by_others(context: Context, prompts: Sequence[str]) -> list[str]:
    """A sentence for each further text encoder that reads only the beginning of some prompts."""
    sentences = []
    for reader in text_readers(context.params.backbone)[1:]:
        limits = TextLimits(tokenizer=reader.tokenizer, length=reader.length)
        if cut := sum(not limits.fits(prompt) for prompt in prompts):
            sentences.append(f"Of {cut} prompts, {reader.name} reads the first {limits.max_tokens} tokens only.")
    return sentences
