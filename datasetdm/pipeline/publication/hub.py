"""Folders to the Hugging Face Hub. The token stays where it is: in the environment or in the hub's own login."""

import re
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

from datasetdm.errors import DatasetDMError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_UNAUTHORISED, _FORBIDDEN = 401, 403


def open_hub(name: str) -> HfApi:
    """The hub's client, once it is clear that `name` is `owner/name`, and that somebody is logged in.

    Raises:
        DatasetDMError: the name cannot be one, or there is no valid token.
    """
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise DatasetDMError(f"--hub is '{name}'; name the data set as owner/name, in letters, digits, -, _ and '.'.")
    token = get_token()
    if token is None:
        raise DatasetDMError(
            "--hub needs a token that may write: make one at https://huggingface.co/settings/tokens and set the "
            "environment variable HF_TOKEN (or write it into .env), or run `hf auth login`. Without --hub everything "
            "is written to the folder --out."
        )
    return HfApi(token=token)


def upload(api: HfApi, folders: Mapping[tuple[str, str], Path], *, private: bool) -> list[str]:
    """Upload folders, each to a repository that is made if it is missing.

    Args:
        api: of `open_hub`.
        folders: kind (`dataset` or `model`) and name of the repository -> the folder.
        private: whether new repositories are private.

    Returns:
        The addresses of the repositories.

    Raises:
        DatasetDMError: the hub refuses, or cannot be reached; what was uploaded stays.
    """
    addresses = []
    for (kind, name), folder in folders.items():
        try:
            made = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=name, repo_type=kind, folder_path=folder, commit_message="Published with DatasetDM"
            )
        except HfHubHTTPError as error:
            raise DatasetDMError(f"The hub did not take {name}: {_reason(error)} {_KEPT}") from None
        except Exception as error:  # the hub's client raises errors of a dozen unrelated types
            raise DatasetDMError(f"The hub cannot be reached ({type(error).__name__}). {_KEPT}") from None
        addresses.append(str(made))
    return addresses


_KEPT = "The folder --out is complete: run the same command again with --replace, or upload it with `hf upload`."


def _reason(error: HfHubHTTPError) -> str:
    code = error.response.status_code if error.response is not None else 0
    if code == _UNAUTHORISED:
        return "it does not accept the token (401): make a new one."
    if code == _FORBIDDEN:
        return "the token may not write there (403): give it write access, or name a place of your own."
    return " ".join(str(error.server_message or error).split())
