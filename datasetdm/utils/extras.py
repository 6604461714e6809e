"""Libraries that only some models need: the extras of pyproject.toml, and what to do where one is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from datasetdm.errors import DatasetDMError


@dataclass(frozen=True)
class Extra:
    """An extra of the package, as in `pip install 'datasetdm[detection]'`.

    Attributes:
        purpose: what needs it.
        libraries: the modules that have to be there.
        compiled: a module that is compiled when its library is installed, and may be left out then; empty if none is.
        remedy: how to install it, in sentences.
    """

    purpose: str
    libraries: tuple[str, ...]
    remedy: str
    compiled: str = ""

    def missing(self) -> list[str]:
        """The modules that are not installed. None of them is imported, which may take seconds."""
        absent = [name for name in self.libraries if find_spec(name) is None]
        library, _, part = self.compiled.partition(".")
        return absent if not library or library in absent or _has_part(library, part) else [*absent, self.compiled]


_EVERYWHERE = (
    "On every machine, run `.venv/bin/pip install --constraint requirements.lock {}` in the checkout, or "
    "`pip install 'datasetdm[{}]'` where the package is installed. docs/machines.md says what else to set."
)

EXTRAS = {
    "detection": Extra(
        purpose="The detectors, which are the downstream models of instance segmentation,",
        libraries=("mmdet", "mmengine", "mmcv"),
        compiled="mmcv._ext",
        remedy=(
            "In a checkout, run `make setup DETECTION=1`; it compiles mmcv once, for 5 to 40 minutes. With pip, first "
            "run `pip install ninja wheel 'setuptools<80'`, then `MMCV_WITH_OPS=1 pip install --no-build-isolation "
            "'datasetdm[detection]'`. Without them you can ingest, train P-Decoders, generate, label and splice images "
            "(`--until augment`), and run benchmarks of the other tasks."
        ),
    ),
    "ray": Extra(
        purpose="Runs on a Ray cluster",
        libraries=("dagster_ray", "ray"),
        remedy=_EVERYWHERE.format("dagster-ray==0.4.8 'ray[default]==2.60.0'", "ray"),
    ),
    "kubernetes": Extra(
        purpose="Runs on Kubernetes",
        libraries=("dagster_k8s",),
        remedy=_EVERYWHERE.format("dagster-k8s==0.29.27", "kubernetes"),
    ),
}


def require_extra(name: str) -> None:
    """Check that an extra is installed, without importing it.

    Raises:
        DatasetDMError: something of it is missing; the message says how to install it.
    """
    extra = EXTRAS[name]
    if missing := extra.missing():
        raise DatasetDMError(
            f"{extra.purpose} need {_listed(extra.libraries)}; {_listed(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed. {extra.remedy}"
        )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _has_part(library: str, part: str) -> bool:
    """Whether a library, which is installed, has a compiled module; `find_spec` would import the library."""
    spec = find_spec(library)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return any(next(Path(folder).glob(f"{part}.*"), None) for folder in folders)
