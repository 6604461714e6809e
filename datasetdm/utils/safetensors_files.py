"""Files of weights, looked at without reading the weights."""

import json
from pathlib import Path

LENGTH = 8  # bytes at the beginning of a safetensors file that hold the length of its header


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says; the weights are not read."""
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(LENGTH), "little")
        try:
            header = json.loads(stream.read(length)) if length < file.stat().st_size else {}
            last = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return bool(file.stat().st_size == LENGTH + length + last)
