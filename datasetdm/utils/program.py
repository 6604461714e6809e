"""How a message names the command line, so that a user can copy the command into a terminal."""

from pathlib import Path

_OF_SET_UP = Path(".venv/bin/datasetdm")


def program() -> str:
    """`.venv/bin/datasetdm` in a project that `make setup` has set up, as in the README; else `datasetdm`.

    It is the working directory that counts, as commands, Dagster and DVC run in the project's root folder.
    """
    return str(_OF_SET_UP) if _OF_SET_UP.exists() else _OF_SET_UP.name
