"""What tests of all rooms share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an empty MLflow store, as `make setup` makes it. Tests copy it: making one takes seconds."""
    from mlflow.db import upgrade

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    upgrade.main([f"sqlite:///{file}"], standalone_mode=False)
    return file
