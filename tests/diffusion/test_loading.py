"""From a folder to a backbone of the right family."""

import json
import pkgutil
import shutil
from pathlib import Path

import pytest

from datasetdm import config
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.loading import FAMILIES
from datasetdm.errors import DatasetDMError


@pytest.mark.parametrize("loader", FAMILIES.values())
def test_every_family_names_a_loader(loader: str) -> None:
    assert callable(pkgutil.resolve_name(loader))


@pytest.mark.parametrize("index", [{"_class_name": "LuminaPipeline"}, {}, []])
def test_an_unknown_family_is_refused(pipeline_folder: Path, tmp_path: Path, index: object) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(pipeline_folder, copy)
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        DatasetDMError, match=r"holds a (Lumina|None).*StableDiffusionXL.*write a file in datasetdm/diffusion/families/"
    ):
        load_backbone(config.Backbone(path=str(copy), image_size=32), "cpu")
