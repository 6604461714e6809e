"""A loaded backbone of each family, through our own loader."""

from pathlib import Path

import pytest

from datasetdm import config
from datasetdm.diffusion import Backbone, load_backbone
from tests.diffusion.families import tiny


@pytest.fixture(scope="session", params=tiny.BUILDERS)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(family, tmp_path_factory.mktemp(family))


@pytest.fixture(scope="session")
def backbone(folder: Path) -> Backbone:
    return load_backbone(config.Backbone(path=str(folder), image_size=tiny.SIDE), "cpu")
