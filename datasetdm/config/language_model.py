"""The settings of the language model that writes prompts."""

from typing import Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from datasetdm.config.base import Fraction, LocalPath, PathOrName, Section, Text


class LanguageModel(Section):
    """Which language model is asked for prompts, how, and which of its lines are taken."""

    backend: Literal["transformers", "openai"] = Field(
        default="transformers", description="transformers: on this machine; openai: any OpenAI-compatible endpoint"
    )
    model: PathOrName = Field(
        default="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        description="Hub name, folder or GGUF file; with backend openai, the endpoint's name for it",
    )
    revision: Text | None = Field(default=None, description="Pinned hub revision (commit)")
    base_url: Text | None = Field(
        default=None, description="Address of the endpoint, such as http://127.0.0.1:8000/v1; None: OpenAI's own"
    )
    api_key_variable: Text = Field(
        default="OPENAI_API_KEY", description="NAME of the environment variable that holds the key; never the key"
    )
    form: Literal["chat", "completion", "constrained"] = Field(
        default="chat",
        description="chat: an instruct model is asked; completion: examples are continued line by line (small models); "
        "constrained: the same, and every line is made to name its category",
    )
    instruction: LocalPath | None = Field(
        default=None, description="Your instruction file; None: datasetdm/prompts/language_model/instruction.txt"
    )
    lines_per_answer: PositiveInt = Field(default=10, description="Descriptions asked for at a time")
    max_answers: PositiveInt = Field(default=20, description="Answers per category, after which it stays short")
    min_words: PositiveInt = Field(default=5, description="Shorter lines are rejected")
    temperature: float | None = Field(default=0.9, gt=0.0, le=2.0, description="None: not sent (reasoning models)")
    top_p: Fraction | None = Field(default=0.95, description="None: not sent")
    max_tokens: PositiveInt | None = Field(default=1024, description="Longest answer; None: not sent to an endpoint")
    timeout: float = Field(default=120.0, gt=0.0, description="Seconds that an endpoint may take for an answer")
    max_retries: int = Field(default=5, ge=0, description="After a rate limit or a cut connection, with growing pauses")

    @field_validator("base_url")
    @classmethod
    def _an_endpoint_has_an_address(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is not None and info.data.get("backend") == "transformers":
            raise ValueError("is set, but backend is 'transformers', which asks no endpoint; set backend: openai")
        if address is not None and not address.startswith(("http://", "https://")):
            raise ValueError(f"is '{address}'; it has to begin with http:// or https://")
        if address is not None and "@" in address:
            raise ValueError("holds a user or a password; put a key into .env instead (api_key_variable)")
        return address

    @field_validator("api_key_variable")
    @classmethod
    def _a_name_and_not_a_key(cls, name: str) -> str:
        if not name.isidentifier():  # not shown: it may be the key itself
            raise ValueError("has to be the NAME of an environment variable; put the key itself into .env")
        return name

    @field_validator("form")
    @classmethod
    def _endpoints_chat(cls, form: str, info: ValidationInfo) -> str:
        if form != "chat" and info.data.get("backend") == "openai":
            raise ValueError(f"is '{form}', but an endpoint can only be asked in the form chat")
        return form
