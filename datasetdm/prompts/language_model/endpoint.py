"""A language model behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp, `transformers serve`.

The official client waits as long as the endpoint asks for (`Retry-After`), else with growing pauses.
"""

import os
import time
from functools import cached_property
from typing import Any
from urllib.parse import urlparse

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.chat import CUT, Answer, Question

_LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_KEPT = "Earlier answers are kept; run the same command again to continue."


class Endpoint:
    """A chat model behind an endpoint; see `ChatModel`.

    Args:
        settings: address, model, sampling, and the NAME of the variable that holds the key.
    """

    def __init__(self, settings: config.LanguageModel):
        self.settings = settings

    @property
    def identity(self) -> dict[str, Any]:
        """See `ChatModel`."""
        return self.settings.model_dump(include={"base_url", "model", "temperature", "top_p", "max_tokens"})

    def answer(self, question: Question) -> Answer:
        """See `ChatModel`."""
        import openai  # takes seconds

        start = time.perf_counter()
        try:
            completion = self._client.chat.completions.create(
                model=self.settings.model,
                messages=list(question.messages),
                seed=question.seed,
                **self.settings.model_dump(include={"temperature", "top_p", "max_tokens"}, exclude_none=True),
            )
        except openai.OpenAIError as error:
            raise DatasetDMError(f"{self._name}: {self._explained(error)} {_KEPT}") from None
        except ValueError:  # cut-off JSON, or bytes that are no UTF-8, which the client passes on as they are
            raise self._no_completion() from None
        return self._answer(completion, time.perf_counter() - start)

    def _answer(self, completion: Any, seconds: float) -> Answer:
        """The text of a completion; servers that are nearly compatible leave out parts of it."""
        choices = getattr(completion, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        content = getattr(message, "content", None) or ""
        if not hasattr(message, "content") or not isinstance(content, str):
            raise self._no_completion()
        text = content.encode(errors="replace").decode()  # half of a surrogate pair cannot be written to a file
        usage = getattr(completion, "usage", None)
        return Answer(
            text=text + CUT if getattr(first, "finish_reason", None) == "length" else text,
            model=completion.model or self.settings.model,
            prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
            completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
            seconds=seconds,
        )

    def _no_completion(self) -> DatasetDMError:
        return DatasetDMError(
            f"{self._name} answered, but not with a chat completion. Is prompts.language_model.base_url its "
            f"OpenAI-compatible address (it often ends with /v1)? {_KEPT}"
        )

    @property
    def _name(self) -> str:
        return f"The language model {self.settings.model} at {self.settings.base_url or 'api.openai.com'}"

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI

        settings, variable = self.settings, self.settings.api_key_variable
        key = os.environ.get(variable, "").strip()
        if not key and not self._on_this_machine():
            raise DatasetDMError(
                f"{self._name} needs a key, and the environment variable {variable} is not set. Put `{variable}=...` "
                "into .env, or name another variable in prompts.language_model.api_key_variable."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise DatasetDMError(
                f"The key in the environment variable {variable} cannot be sent: it has blanks, line ends or "
                "characters outside ASCII. Correct it in .env."
            )
        # The client insists on a key; servers on this machine seldom ask for one.
        return OpenAI(
            api_key=key or "none",
            base_url=settings.base_url or "https://api.openai.com/v1",
            timeout=settings.timeout,
            max_retries=settings.max_retries,
        )

    def _on_this_machine(self) -> bool:
        return self.settings.base_url is not None and urlparse(self.settings.base_url).hostname in _LOCAL

    def _explained(self, error: Exception) -> str:
        """What happened and what to do; never with the key, which servers repeat in their messages."""
        import openai

        said, settings = self._said(error), self.settings
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            # Its own words are left out: some endpoints repeat parts of the key.
            return f"refused the key in the variable {settings.api_key_variable}. Correct it in .env."
        if isinstance(error, openai.NotFoundError):
            return f"was not found{said}. Correct prompts.language_model.model or base_url."
        if isinstance(error, openai.RateLimitError):
            return (
                f"its rate limit, or the account's quota, is still used up after {settings.max_retries} retries{said}. "
                "Wait, or raise prompts.language_model.max_retries."
            )
        if isinstance(error, openai.APITimeoutError):
            return (
                f"gave no answer within {settings.timeout:g} s, {settings.max_retries + 1} times. Raise "
                "prompts.language_model.timeout, or lower lines_per_answer."
            )
        if isinstance(error, openai.APIConnectionError):
            return (
                f"cannot be reached, or the connection was cut, {settings.max_retries + 1} times"
                f"{said or self._cause(error)}. Is the server running, and is prompts.language_model.base_url right?"
            )
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            return (
                f"refused the request{said}. If it does not know temperature, top_p or max_tokens, set that to null in "
                "prompts.language_model."
            )
        return f"failed{said or self._cause(error)}."

    def _said(self, error: Exception) -> str:
        """` (it says: ...)`, the endpoint's own words."""
        body = getattr(error, "body", None)
        words = body.get("message") or body.get("detail") if isinstance(body, dict) else body
        return f" (it says: {self._without_key(str(words))})" if words else ""

    def _cause(self, error: Exception) -> str:
        """The words of the error below the client's, which says no more than "Connection error."."""
        return f" ({self._without_key(str(error.__cause__ or error))})"

    def _without_key(self, words: str) -> str:
        """The beginning of a message; the key is hidden before the message is cut, which could leave a part of it."""
        key = os.environ.get(self.settings.api_key_variable, "").strip()
        return " ".join((words.replace(key, "***") if key else words).split())[:200]
