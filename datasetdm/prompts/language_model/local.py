"""A language model on this machine, through transformers: a hub name, a folder, or a GGUF file."""

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.chat import CUT, Answer, Question
from datasetdm.prompts.language_model.constraints import constraints, line_ends
from datasetdm.utils.devices import choose_device
from datasetdm.utils.digests import digest
from datasetdm.utils.hub import hub_answers, is_hub_name

_WEIGHTS = (".json", ".jinja", ".safetensors", ".gguf")
_LINE_TOKENS = 64  # longest line of the forms that write line by line; text encoders read 77


class LocalModel:
    """A causal language model of transformers; see `ChatModel`.

    Args:
        settings: model, form and sampling.
        device: the `device` of params.yaml.
    """

    def __init__(self, settings: config.LanguageModel, device: str):
        self.settings = settings
        self._device = device

    @cached_property
    def identity(self) -> dict[str, Any]:
        """See `ChatModel`. Weights on this machine count by content, a model of the hub by name and revision."""
        settings, path = self.settings, Path(self.settings.model)
        files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.suffix in _WEIGHTS)
        own = digest([(file.name, file) for file in files]) if files else settings.revision
        return {
            "model": path.name if files else settings.model,
            "revision": own,
            "form": settings.form,
            **settings.model_dump(include={"temperature", "top_p", "max_tokens"}),
        }

    def answer(self, question: Question) -> Answer:
        """See `ChatModel`; the random numbers of the process stay as they are."""
        start = time.perf_counter()
        device = self._model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(question.seed)
            texts, read, written = self._chat(question) if self.settings.form == "chat" else self._lines(question)
        return Answer(
            text="\n".join(texts),
            model=str(self.identity["model"]),
            prompt_tokens=read,
            completion_tokens=written,
            seconds=time.perf_counter() - start,
        )

    def _chat(self, question: Question) -> tuple[list[str], int, int]:
        """One answer of the instruct model."""
        if self._tokenizer.chat_template is None:
            raise DatasetDMError(
                f"{self.settings.model} is no chat model: its tokenizer has no chat template. Choose an instruct model "
                "in prompts.language_model.model, or set prompts.language_model.form to completion."
            )
        inputs = self._tokenizer.apply_chat_template(
            list(question.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        return self._generate(inputs, self.settings.max_tokens, self._ends)

    def _lines(self, question: Question) -> tuple[list[str], int, int]:
        """As many continuations of the completion text as lines are wanted, each up to the end of its line."""
        inputs = self._tokenizer(question.completion, return_tensors="pt")
        ends = [*self._ends, *self._line_ends]
        extra = {}
        if self.settings.form == "constrained":
            extra = constraints(self._tokenizer, question.words, ends, inputs["input_ids"].shape[1])
        longest = min(_LINE_TOKENS, self.settings.max_tokens or _LINE_TOKENS)
        return self._generate(inputs, longest, ends, num_return_sequences=question.lines, **extra)

    def _generate(self, inputs: Any, longest: int | None, ends: list[int], **extra: Any) -> tuple[list[str], int, int]:
        """Texts, tokens read and tokens written; a text that reached no end is marked with `CUT`."""
        settings = self.settings
        start = inputs["input_ids"].shape[1]
        outputs = self._model.generate(
            **inputs.to(self._model.device),
            do_sample=settings.temperature is not None,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            max_new_tokens=longest or 1024,
            eos_token_id=ends,
            pad_token_id=self._ends[0],
            **extra,
        )[:, start:].cpu()
        texts, written = [], 0
        for tokens in outputs.tolist():
            length = next((place for place, token in enumerate(tokens) if token in ends), None)
            text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
            texts.append(text if length is not None else text + CUT)
            written += len(tokens) if length is None else length + 1
        return texts, start, written

    @cached_property
    def _ends(self) -> list[int]:
        """The tokens that end an answer."""
        own = self._model.generation_config.eos_token_id
        named = own if isinstance(own, list) else [own, self._tokenizer.eos_token_id]
        return list(dict.fromkeys(token for token in named if token is not None)) or [0]

    @cached_property
    def _line_ends(self) -> list[int]:
        return line_ends(self._tokenizer)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer  # takes seconds

        return self._loaded(AutoTokenizer)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForCausalLM

        device = choose_device(self._device)
        # Processors are slow at bfloat16, in which most models lie on the hub.
        dtype = torch.float32 if device.type == "cpu" else "auto"
        return self._loaded(AutoModelForCausalLM, dtype=dtype).to(device).eval()

    def _loaded(self, kind: Any, **extra: Any) -> Any:
        name, path = self.settings.model, Path(self.settings.model)
        if path.is_file():
            extra |= {"gguf_file": path.name}
            name = str(path.parent)
        elif self.settings.revision is not None:
            extra |= {"revision": self.settings.revision}
        offline = is_hub_name(name) and not hub_answers()
        try:
            return kind.from_pretrained(name, local_files_only=offline, **extra)
        except Exception as error:  # readers of weights have no common base for damaged and missing files
            reason = " ".join(str(error).split())[:300]
            raise DatasetDMError(
                f"The language model {self.settings.model} (prompts.language_model.model) cannot be loaded: {reason} "
                "Name a folder, a GGUF file, or a model of the hub that this machine can reach. Answers that it gave "
                "before are kept."
            ) from None
