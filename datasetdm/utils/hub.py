"""Hugging Face's hub: which names are its models, and whether it can be reached."""

from pathlib import Path


def is_hub_name(name: str) -> bool:
    """Whether a name means a model of the hub (`owner/model`, perhaps with `@revision`) and not a folder."""
    parts = Path(name).parts
    return len(parts) == 2 and not Path(name).exists() and not Path(parts[0]).is_dir()


def hub_answers() -> bool:
    """Whether the hub can be reached: one request without retries, ten seconds at most.

    The hub's client asks five more times, with growing pauses, before it looks into the cache. So ask this first, and
    give it `local_files_only=True` if the answer is no. With `HF_HUB_OFFLINE=1` the answer is always no.
    """
    from huggingface_hub import constants, get_session  # takes half a second

    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # of the HTTP library, whichever the client uses
        return False
    return True
