"""Trained models, by what a person calls them: the champion of a benchmark, its P-Decoder, or a folder."""

from pathlib import Path

from datasetdm.annotations.predictor import Predictor
from datasetdm.config import load_params
from datasetdm.downstream import DOWNSTREAM
from datasetdm.downstream.model import CONFIG_FILE
from datasetdm.downstream.registry import models_of
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.registered_decoder import load_decoder_model
from datasetdm.tracking import CHALLENGER, CHAMPION
from datasetdm.tracking import load_model as load_registered
from datasetdm.utils.files import read_json
from datasetdm.utils.program import program

DECODER = "decoder"
_REGISTERED = {CHAMPION: "downstream", CHALLENGER: "downstream", DECODER: DECODER}


def load_model(
    model: str | Path = CHAMPION, *, benchmark: str | None = None, study: bool = False, device: str = "auto"
) -> Predictor:
    """Load a trained model; `predict(images)` of it annotates a list of images.

    Args:
        model: `champion` (the downstream model with the best score on dev), `challenger` (the second best),
            `decoder` (the best P-Decoder, with its diffusion model), or a folder such as `data/downstream/coco/both/0`
            or `data/decoders/coco/0`.
        benchmark: whose, for the first three; the current folder has to be the project's root.
        study: the models of `make study`.
        device: auto, cpu, cuda, cuda:1, ...

    Returns:
        A model with `categories` (what its labels stand for) and `predict`, which takes arrays (uint8, H x W x 3, RGB,
        of any sizes; see `read_image`) and returns an `Instances`, `SemanticMap`, `DepthMap` or `Persons` for each, in
        the pixels of the image.

    Raises:
        DatasetDMError: there is no such model, its files cannot be used, or its library is not installed.
    """
    if str(model) not in _REGISTERED:
        return _load_folder(Path(model), device)
    if benchmark is None:
        raise DatasetDMError(
            f"The model '{model}' is that of a benchmark: say of which one, such as load_model('{model}', "
            f"benchmark='coco') or --benchmark coco."
        )
    settings = load_params().benchmark(benchmark)
    if _REGISTERED[str(model)] == "downstream":
        DOWNSTREAM[settings.task.name].check_installed()
    alias = CHALLENGER if str(model) == CHALLENGER else CHAMPION
    name = f"{benchmark}{'_study' if study else ''}_{_REGISTERED[str(model)]}"
    try:
        return load_registered(name, alias, device=device)
    except DatasetDMError as error:
        flag = " --study" if study else ""
        raise DatasetDMError(
            f"There is no model {name}@{alias} that can be loaded: {error} `{program()} run {benchmark}{flag}` trains "
            "the models of this benchmark."
        ) from None


def _load_folder(folder: Path, device: str) -> Predictor:
    """The model in a folder; its `config.json` tells what it is."""
    if not (folder / CONFIG_FILE).is_file():
        inside = sorted(path.parent for path in folder.glob(f"**/{CONFIG_FILE}")) if folder.is_dir() else []
        hint = f" It holds the models {', '.join(map(str, inside[:5]))}." if inside else ""
        raise DatasetDMError(
            f"{folder} is not a trained model: it has no {CONFIG_FILE}. Name champion, challenger, decoder, or the "
            f"folder of one training, such as data/downstream/coco/both/0.{hint}"
        )
    description = read_json(folder / CONFIG_FILE, remedy="Train the model again.")
    if isinstance(description, dict) and "backbone_fingerprint" in description:
        return load_decoder_model(folder, device)
    name = description.get("name") if isinstance(description, dict) else None
    own = description.get("task") if isinstance(description, dict) else None
    for task, family in DOWNSTREAM.items():
        if own in (None, task) and any(spec.name == name for spec in models_of(task)):
            return family.load(folder, device)
    raise DatasetDMError(f"{folder / CONFIG_FILE} describes no model that this project knows ({name!r}).")
