"""What pyproject.toml cannot say: a wheel carries the locks, which models of the registry are logged with."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithLocks(build_py):
    """Copies the locks into the package."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for lock in ("requirements.lock", "requirements-detection.lock", "requirements-deploy.lock"):
                self.copy_file(lock, str(Path(self.build_lib) / "datasetdm" / lock))


setup(cmdclass={"build_py": BuildWithLocks})
