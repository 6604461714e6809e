"""Plans of benchmarks of real photographs, which have other sizes than the diffusion model's images."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from datasetdm.cli import main

REALDATA = Path(__file__).parents[4] / "shared/realdata"
COCO, NYU = REALDATA / "COCO2017", REALDATA / "nyudepthv2" / "sync" / "basement_0001a"


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["plan", "coco", "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["complete"], found
    for name in ("train_decoder", "synthesize", "train_downstream", "compare"):
        assert found["stages"][name]["seconds"] > 0 and found["stages"][name]["gpu_memory"] > 1e6, name
    return found


@pytest.mark.extended
@pytest.mark.skipif(not COCO.exists(), reason=f"the real COCO samples are not at {COCO}")
def test_photographs_with_masks(project, capsys) -> None:
    folder = project({"format": "coco", "root": str(COCO)})
    before = sorted(folder.rglob("*"))
    found = planned(capsys, "--card", "l4")
    assert sorted(folder.rglob("*")) == before
    assert found["stages"]["compare"]["work"] == {"images judged": 16}
    assert found["card_seconds"] > 0 and found["gpu_memory"] > 1e7


@pytest.mark.extended
@pytest.mark.skipif(not NYU.exists(), reason=f"the real NYU samples are not at {NYU}")
def test_photographs_with_depth(project, edit, tmp_path: Path, capsys) -> None:
    lines = []
    for room in ("basement_0001a", "kitchen_0003a", "office_0004c", "bedroom_0010", "study_0003"):
        shutil.copytree(NYU, tmp_path / "nyu/sync" / room)
        for depth in sorted((tmp_path / "nyu/sync" / room).glob("sync_depth_*.png")):
            name = depth.stem.removeprefix("sync_depth_")
            lines.append(f"/{room}/rgb_{name}.jpg /{room}/{depth.name} 518.8579")
    (tmp_path / "nyu/train_list.txt").write_text("\n".join(lines) + "\n")
    project({"format": "nyu", "root": str(tmp_path / "nyu")})
    edit("benchmarks.coco.task", {"name": "depth", "min_depth": 0.1, "max_depth": 10.0})
    edit("benchmarks.coco.ingest", {"num_real": 4, "num_dev": 3, "num_oracle": 1})
    edit("benchmarks.coco.downstream.model", "upernet_r18")
    edit("benchmarks.coco.synthesis.extraction", "last_step")
    found = planned(capsys)
    assert found["stages"]["synthesize"]["work"] == {"images annotated": 24}
    assert found["stages"]["augment"]["work"] == {"images spliced": 2}
