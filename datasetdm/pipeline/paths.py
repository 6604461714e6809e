"""Where everything lies: the only place that knows the layout of `data/`."""

from dataclasses import dataclass
from pathlib import Path

DATA = Path("data")
STUDY_DATA = DATA / "study"
RAW = DATA / "raw"  # data sets in their own layouts: the embedded world's, and those that `datasetdm import` wrote
BACKBONES = DATA / "backbones"  # the weights that dvc.yaml names as a dependency
ANSWERS = DATA / "answers"  # what language models have answered, of all benchmarks; `make clean` keeps it


def reports_folder(*, study: bool = False) -> Path:
    """Where the reports of all benchmarks lie, and the leaderboard over them."""
    return (STUDY_DATA if study else DATA) / "reports"


def settings_file(run_id: str) -> Path:
    """The settings as they were when a run of Dagster began."""
    return DATA / ".work" / "settings" / f"{run_id}.json"


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
    def adapted(self) -> Path:
        """The LoRA that the diffusion model has learnt from unlabelled images; without `adapt`, empty."""
        return self.data / "adapted" / self.benchmark

    @property
    def decoders(self) -> Path:
        """One P-Decoder per seed, `<seed>/`."""
        return self.data / "decoders" / self.benchmark

    @property
    def prompts(self) -> Path:
        """The prompts, a table that a person may edit."""
        return self.data / "prompts" / f"{self.benchmark}.csv"

    @property
    def variety(self) -> Path:
        """How varied the prompts are, as JSON."""
        return self.data / "prompts" / f"{self.benchmark}.variety.json"

    @property
    def synthetic(self) -> Path:
        """Generated images that were accepted, annotations per seed, `manifest.parquet`, previews; `rejected/`, too."""
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
        """The text of `diagnose`; a JSON file of the same name holds its figures."""
        return self.data / "diagnosis" / f"{self.benchmark}.md"

    @property
    def preview(self) -> Path:
        """What `preview` has drawn: contact sheet, page, images. Not in `reports`, which `compare` replaces."""
        return self.data / "preview" / self.benchmark

    @property
    def reproduced(self) -> Path:
        """What `reproduce` has drawn again: a folder per image."""
        return self.data / "reproduced" / self.benchmark

    @property
    def labels(self) -> Path:
        """The labels that a model doubts: `labels.csv`, page, contact sheet."""
        return self.data / "labels" / self.benchmark

    @property
    def reviews(self) -> Path:
        """Images whose labels a person has corrected, with `origins.json`; `make clean` keeps it."""
        return self.data / "reviews" / self.benchmark

    @property
    def work_root(self) -> Path:
        """Units, locks and notes of all benchmarks, untracked."""
        return self.data / ".work"

    def work(self, kind: str) -> Path:
        """Finished units of a stage, or of another kind of work: `<digest>/` each."""
        return self.work_root / kind
