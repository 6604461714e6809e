"""What all sections of `params.yaml` share: the class `Section`, and the types of their values.

A rule about two settings of a section is a validator of the later one, so it is checked even if other settings are
wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0)]
BACKGROUND = "background"  # the category that is learnt and evaluated like any other, but that no prompt names
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _at_home(path: str) -> str:
    """`~/models` is a folder; a hub name stays."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _path(path: Any) -> Any:
    """A path with `~` as the home folder."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("is empty; name it, or remove the setting")
    return Path(path).expanduser() if isinstance(path, str) else path


def once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values themselves; `ValueError` if one occurs twice."""
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"has {', '.join(twice)} twice")
    return values


def key_of(registry: Mapping[str, Any]) -> AfterValidator:
    """Accepts the names that a registry holds when a value is checked."""

    def check(name: str) -> str:
        if name not in registry:
            choices = ", ".join(f"'{key}'" for key in registry)
            raise ValueError(f"is '{name}'; choose one of {choices}")
        return name

    return AfterValidator(check)


def _noise_level(value: Any) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000:
        return value
    if isinstance(value, float) and 0 <= value <= 1:
        return value
    raise ValueError(
        f"is {value}; write a noise level from 0.0 (the image) to 1.0 (noise alone), or a timestep from 0 to 999"
    )


#: A share of the noise schedule (0.05), or a timestep of 1000 (50), which means the same.
NoiseLevel = Annotated[int | float, PlainValidator(_noise_level)]
PathOrName = Annotated[Text, AfterValidator(_at_home)]
LocalPath = Annotated[Path, BeforeValidator(_path)]
Names = Annotated[tuple[Text, ...], AfterValidator(once_each)]


class Section(BaseModel):
    """An immutable block of `params.yaml`. An unknown key is an error, which catches typing mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
