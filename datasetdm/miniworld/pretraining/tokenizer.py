"""A word-level tokenizer with the special tokens and the call of CLIP's."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|unknown|>"


def build_tokenizer(words: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """One token per word or comma, lower-cased; any other word becomes `<|unknown|>`.

    It is saved and loaded with the pipeline like any tokenizer of transformers.
    """
    tokens = [PAD, BOS, EOS, UNKNOWN, ",", *sorted(set(words) - {","})]
    vocabulary = {token: k for k, token in enumerate(tokens)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=max_length,
    )
