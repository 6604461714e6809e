"""The miniworld as a data set in a native layout, when it stands in for real data."""

import hashlib
from pathlib import Path

from datasetdm import config, miniworld
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.exports import EXPORTS
from datasetdm.utils.files import read_json, remove_leftovers, replacing, write_json
from datasetdm.utils.leases import lease

_STAMP = "miniworld.json"


def render_miniworld(root: Path, layout: str, settings: config.Miniworld) -> None:
    """Export the miniworld to `root` in a native layout, unless exactly that lies there already.

    A stamp next to the data holds the arguments and a digest of the renderer: if it changes, it renders again.

    Raises:
        DatasetDMError: there is no export in this layout, or `root` holds other files, which are not touched.
    """
    if layout not in EXPORTS:
        raise DatasetDMError(
            f"The embedded world has no export in the layout '{layout}': remove `source.miniworld` in params.yaml and "
            f"name your own data in `source.root`, or choose one of these layouts: {', '.join(EXPORTS)}."
        )
    arguments = settings.model_dump()
    wanted = {"layout": layout, "arguments": arguments, "renderer": _source_digest(Path(miniworld.__file__).parent)}
    with lease(root.with_name(f".{root.name}.lease")):  # several benchmarks may share one root
        stamp = root / _STAMP
        if stamp.exists():
            if read_json(stamp, remedy=f"Remove the folder {root}; it is rendered again.") == wanted:
                return
        elif root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise DatasetDMError(
                f"{root} holds files that are not the miniworld's, and they are not overwritten. If they are your own "
                "data set, remove `source.miniworld` in params.yaml; otherwise set `source.root` to another folder."
            )
        remove_leftovers(root)
        with replacing(root) as folder:
            EXPORTS[layout](folder, **arguments)
            write_json(folder / _STAMP, wanted)


def _source_digest(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
