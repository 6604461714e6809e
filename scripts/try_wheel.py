"""Does the built wheel work on its own, without the checkout and without the detectors?

    .venv/bin/python scripts/try_wheel.py                  # semantic segmentation, depth and pose
    .venv/bin/python scripts/try_wheel.py voc --keep DIR   # one of them, in a folder that stays

Builds the wheel, installs it with pip and all that it asks for into a fresh environment (several GB if pip only offers
the CUDA build of torch), and runs the whole chain of each benchmark there in small. Run it now and then; the tests
only look at the wheel's files. Ends with the status of the first command that fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ("voc", "nyu", "coco_pose")

# Runs in the fresh environment. So little teaches nothing; it shows that every part is there.
SHRINK = """
import sys, yaml
content = yaml.safe_load(open(sys.argv[1]))
small = {
    "seeds": [0],
    "ingest": {"num_real": 4, "num_dev": 3, "num_oracle": 0, "num_test": 4},
    "decoder": {"iterations": 4, "batch_size": 2, "evaluate_every": 2, "views_per_image": 2},
    "prompts": {"num_prompts": 4},
    "synthesis": {
        "num_images": 4,
        "shard_size": 2,
        "sampler": {"num_inference_steps": 2},
        "filter": {"score_threshold": 0.0, "min_area": 0.0},
    },
    "downstream": {"iterations": 2, "batch_size": 2},
    "experiment": {"arms": ["real", "both"]},
}
for name in list(content["benchmarks"]):
    block = content["benchmarks"][name]
    if name not in sys.argv[2:]:
        del content["benchmarks"][name]
        continue
    for section, values in small.items():
        block[section] = {**block.get(section, {}), **values} if isinstance(values, dict) else values
    block["augmentation"]["num_images"] = min(2, block["augmentation"]["num_images"])  # 0 where splices make no sense
    block["source"]["miniworld"].update(num_train=40, num_val=5)
content.pop("study", None)
yaml.safe_dump(content, open("params.yaml", "w"), sort_keys=False)
"""


def main() -> int:
    """Build, install and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmarks", nargs="*", default=list(BENCHMARKS), help="keys of `benchmarks` in params.yaml")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave it there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            try_wheel(folder, options.benchmarks)
        except subprocess.CalledProcessError as error:
            print(f"failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
            return int(error.returncode)
    return 0


def try_wheel(folder: Path, benchmarks: list[str]) -> None:
    """All in one folder: the wheel, the environment, and the project that it runs in."""
    environment, project = folder / "environment", folder / "project"
    python = environment / "bin" / "python"
    venv.create(environment, with_pip=True)
    run(python, "-m", "pip", "install", "--quiet", build_wheel(folder), at=folder)
    shutil.copytree(ROOT / "data" / "backbones", project / "data" / "backbones", dirs_exist_ok=True)
    run(python, "-c", SHRINK, ROOT / "params.yaml", *benchmarks, at=project)
    for name in benchmarks:
        run(environment / "bin" / "datasetdm", "validate", name, at=project)
        run(environment / "bin" / "datasetdm", "run", name, at=project)
        run(environment / "bin" / "datasetdm", "show", name, at=project)


def build_wheel(folder: Path) -> Path:
    """The wheel, built from a copy, because a build writes next to the sources."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", *(file.name for file in ROOT.glob("require*"))):
        shutil.copy(ROOT / name, source)
    for name in ("datasetdm", "orchestration"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, at=folder)
    return next(folder.glob("datasetdm-*.whl"))


def run(*command: str | Path, at: Path) -> None:
    """A command that has to succeed, with no module of the checkout in reach."""
    words = [str(word) for word in command]
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATASETDM_HOME")}
    print(f"$ {' '.join(words)[:150]}", flush=True)
    subprocess.run(words, cwd=at, env=variables, check=True)


if __name__ == "__main__":
    sys.exit(main())
