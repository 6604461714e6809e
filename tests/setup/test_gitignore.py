"""What the README's commands write is not offered to git."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout")
def test_folders_that_the_readme_writes_to_are_ignored() -> None:
    folders = set(re.findall(r"--out (\S+)", (ROOT / "README.md").read_text()))
    assert folders
    for folder in folders:
        asked = ["git", "check-ignore", "--no-index", "--quiet", f"{folder}/image.png"]
        assert subprocess.run(asked, cwd=ROOT, check=False).returncode == 0, folder
