"""The language models by the `backend` of the settings."""

from collections.abc import Callable

from datasetdm import config
from datasetdm.prompts.language_model.chat import ChatModel
from datasetdm.prompts.language_model.endpoint import Endpoint
from datasetdm.prompts.language_model.local import LocalModel

_BACKENDS: dict[str, Callable[[config.LanguageModel, str], ChatModel]] = {
    "transformers": LocalModel,
    "openai": lambda settings, device: Endpoint(settings),
}


def open_model(settings: config.LanguageModel, device: str) -> ChatModel:
    """The language model of the settings; nothing is loaded or called before the first question."""
    return _BACKENDS[settings.backend](settings, device)
