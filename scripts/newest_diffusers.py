"""Do the families of diffusion models work with the newest diffusers? Run it now and then; CI has the pinned one.

    .venv/bin/python scripts/newest_diffusers.py
    .venv/bin/python scripts/newest_diffusers.py transformers peft
    .venv/bin/python scripts/newest_diffusers.py diffusers==0.41.0 peft

Fetches the newest release of diffusers, or the one named, and the other packages named into a temporary folder, puts it
in front of the environment, which stays as it is, and runs the tests of all families. Ends with the status of pytest.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("tests/diffusion", "tests/extending/test_family.py")


def main() -> int:
    """Fetch, run, and return pytest's status."""
    asked = sys.argv[1:]
    packages = asked if any(name.startswith("diffusers") for name in asked) else ["diffusers", *asked]
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", folder]
        subprocess.run([*fetch, *packages], check=True)
        environment = os.environ | {"PYTHONPATH": folder}
        print("\n".join(sorted(path.stem for path in Path(folder).glob("*.dist-info"))), flush=True)
        # Without the marker of pyproject.toml, so that the extended tests run too.
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", *TESTS]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
