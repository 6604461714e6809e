"""Where everything lies: the only place that knows the layout of `data/`."""

from dataclasses import dataclass
from pathlib import Path

DATA = Path("data")
STUDY_DATA = DATA / "study"
BACKBONES = DATA / "backbones"  # the weights that dvc.yaml names as a dependency


def reports_folder(*, study: bool = False) -> Path:
    """Where the reports of all benchmarks lie, and the leaderboard over them."""
    return (STUDY_DATA if study else DATA) / "reports"


@dataclass(frozen=True)
class Paths:
    """The outputs of one benchmark below `data` (or `data/study`), relative to the project's root."""

    data: Path
    benchmark: str

    @property
    def real(self) -> Path:
        """The few labelled images, dev, oracle and test sets: `images/`, `annotations/<subset>.json`."""
        return self.data / "real" / self.benchmark

    @property
    def decoders(self) -> Path:
        """One P-Decoder per seed, `<seed>/`."""
        return self.data / "decoders" / self.benchmark

    @property
    def prompts(self) -> Path:
        """The prompts, a table that a person may edit."""
        return self.data / "prompts" / f"{self.benchmark}.csv"

    @property
    def synthetic(self) -> Path:
        """Generated images that were accepted, annotations per seed, `manifest.parquet`, previews; `rejected/`."""
        return self.data / "synthetic" / self.benchmark

    @property
    def pseudo(self) -> Path:
        """Real images with the annotations that the P-Decoders read off them; empty where no arm needs them."""
        return self.data / "pseudo" / self.benchmark

    @property
    def augmented(self) -> Path:
        """Spliced images and their annotations, per seed and per set that they are spliced out of."""
        return self.data / "augmented" / self.benchmark

    @property
    def downstream(self) -> Path:
        """Trained downstream models, `<arm>/<seed>/`."""
        return self.data / "downstream" / self.benchmark

    @property
    def reports(self) -> Path:
        """`metrics.json`, table, plots, page."""
        return self.data / "reports" / self.benchmark

    @property
    def diagnosis(self) -> Path:
        """What `diagnose` says; a JSON of the same name lies beside it."""
        return self.data / "diagnosis" / f"{self.benchmark}.md"

    def work(self, stage: str) -> Path:
        """Finished units of a stage, untracked: `<fingerprint>/` each."""
        return self.data / ".work" / stage

    def work_folders(self) -> list[Path]:
        """Those of all stages, as far as they are there."""
        root = self.data / ".work"
        return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []

    def told(self, stage: str) -> Path:
        """What a stage told when it published its output, and of what."""
        return self.data / ".work" / f"{stage}_{self.benchmark}.json"

    def lock(self, stage: str) -> Path:
        """Held while a stage publishes its output."""
        return self.data / ".work" / f"{stage}_{self.benchmark}.lock"
