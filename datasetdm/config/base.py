"""What all sections of `params.yaml` share: the class `Section`, and the types of their values.

A rule about two settings of a section is a validator of the later one, so it is checked even if other settings are
wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0)]
Timestep = Annotated[int, Field(ge=0, lt=1000)]
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


PathOrName = Annotated[Text, AfterValidator(_at_home)]
LocalPath = Annotated[Path, BeforeValidator(_path)]
Names = Annotated[tuple[Text, ...], AfterValidator(once_each)]


class Section(BaseModel):
    """An immutable block of `params.yaml`. An unknown key is an error, which catches typing mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
