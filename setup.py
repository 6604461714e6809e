"""What pyproject.toml cannot say: a wheel carries requirements.lock, which models of the registry are logged with."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithLock(build_py):
    """Copies the lock into the package."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file("requirements.lock", str(Path(self.build_lib) / "datasetdm" / "requirements.lock"))


setup(cmdclass={"build_py": BuildWithLock})
