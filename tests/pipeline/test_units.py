"""Units and outputs appear whole or not at all."""

import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from datasetdm.config import Augmentation, load_params
from datasetdm.datasets.standard import annotated_set as annotated_sets
from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Stage, run_stage
from datasetdm.pipeline.engine.units import (
    is_finished,
    make_unit,
    passing_over_busy_units,
    resume_folder,
    sweep,
    unit_seconds,
)
from datasetdm.pipeline.paths import Paths
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link

PARAMS = Path(__file__).parents[2] / "params.yaml"


def write(folder: Path, name: str = "a.txt", text: str = "a") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_unit_is_made_once(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        make_unit(tmp_path / "unit", lambda folder: (made.append(1), write(folder)))
    assert made == [1] and (tmp_path / "unit" / "a.txt").read_text() == "a"


def test_failed_unit_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_unit(tmp_path / "work" / "unit", fail)
    assert [path.name for path in (tmp_path / "work").iterdir() if path.suffix != ".lock"] == []


def test_checkpoints_outlive_a_failure_but_not_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "unit"

    def cut(folder: Path) -> None:
        write(resume_folder(unit))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_unit(unit, cut)
    assert (resume_folder(unit) / "a.txt").exists()
    unit.with_suffix(".seconds").write_text("100")  # as if it had been cut off late
    make_unit(unit, lambda folder: write(folder, text=(resume_folder(unit) / "a.txt").read_text()))
    assert (unit / "a.txt").read_text() == "a" and not resume_folder(unit).exists()
    assert 100 <= unit_seconds(unit) < 200
    shutil.rmtree(unit)
    make_unit(unit, write)
    assert unit_seconds(unit) < 100  # from the start, not gone on


def test_what_another_process_is_at_is_passed_over(tmp_path: Path) -> None:
    with FileLock(tmp_path / "unit.lock"), passing_over_busy_units(), pytest.raises(Timeout):
        make_unit(tmp_path / "unit", write)
    make_unit(tmp_path / "unit", write)
    assert (tmp_path / "unit" / "a.txt").exists()


def test_a_stage_leaves_busy_units_to_the_end(tmp_path: Path) -> None:
    made: list[str] = []
    other = FileLock(tmp_path / "1.lock")
    other.acquire()

    def run_unit(context: Context, key: str) -> None:
        make_unit(tmp_path / key, lambda folder: made.append(key))
        if key == "2":
            other.release()  # the other process was killed

    stage = Stage(
        name="work",
        asset="work",
        description="",
        upstream=(),
        parameters=(),
        finish=lambda context: StageResult(),
        output=lambda context: tmp_path,
        units=lambda context: {key: [tmp_path / key] for key in ("0", "1", "2")},
        run_unit=run_unit,
    )
    run_stage(stage, Context("coco", load_params(PARAMS), Paths(tmp_path / "data", "coco")))
    assert made == ["0", "2", "1"]


def test_digest_sees_settings_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "data", name="a.json", text="{}")
    settings = Augmentation(num_images=1, proportions={"1x2": 1.0}, max_size=8)
    first = digest(settings, tmp_path / "data")
    assert digest(settings, tmp_path / "data") == first
    assert digest(settings.model_copy(update={"num_images": 2}), tmp_path / "data") != first
    write(tmp_path / "data", name="a.json", text="[]")
    assert digest(settings, tmp_path / "data") != first


def test_digest_does_not_mistake_a_boundary(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_digest_looks_into_lists(tmp_path: Path) -> None:
    write(tmp_path / "data", name="a.json", text="{}")
    before = digest([tmp_path / "data" / "a.json", 1])
    write(tmp_path / "data", name="a.json", text="[]")
    assert digest([tmp_path / "data" / "a.json", 1]) != before
    assert digest(["a", "b"], "c") != digest(["a"], "b", "c")


def test_an_annotated_set_is_known_by_its_images_too(tmp_path: Path) -> None:
    write(tmp_path / "annotations", name="dev.json", text='{"images": [{"id": 1, "file_name": "a.png"}]}')
    write(tmp_path / "images", name="a.png", text="pixels")
    before = digest(*annotated_set(tmp_path, "dev"))
    assert digest(*annotated_set(tmp_path, "dev")) == before
    write(tmp_path / "images", name="a.png", text="other pixels")
    assert digest(*annotated_set(tmp_path, "dev")) != before


@pytest.mark.parametrize("content", ["", "12.", "nan", "many"])
def test_a_damaged_note_of_the_time_is_ignored(tmp_path: Path, content: str) -> None:
    make_unit(tmp_path / "unit", write)
    (tmp_path / "unit.seconds").write_text(content)
    assert unit_seconds(tmp_path / "unit") == (12.0 if content == "12." else 0.0)


def test_a_unit_damaged_through_a_published_link_is_made_again(tmp_path: Path, caplog) -> None:
    make_unit(tmp_path / "unit", write)
    published = tmp_path / "out" / "a.txt"
    link(tmp_path / "unit" / "a.txt", published)
    os.truncate(published, 0)
    assert not is_finished(tmp_path / "unit")
    make_unit(tmp_path / "unit", write)
    assert "unit is damaged (a.txt has 0 bytes instead of 1) and is made again" in caplog.text
    assert is_finished(tmp_path / "unit") and (tmp_path / "unit" / "a.txt").read_text() == "a"
    assert not list(tmp_path.glob(".*"))


def test_a_unit_without_an_inventory_stays(tmp_path: Path) -> None:
    make_unit(tmp_path / "unit", write)
    (tmp_path / "unit.files").unlink()  # as units were before there were inventories
    (tmp_path / "unit" / "a.txt").write_text("as it was")
    assert is_finished(tmp_path / "unit")
    make_unit(tmp_path / "unit", write)
    assert (tmp_path / "unit" / "a.txt").read_text() == "as it was"


LEFTOVERS = (
    ".unit.0123abcd.tmp",
    ".unit.0123abcd.old",
    "..unit.0123abcd.tmp.89abcdef.tmp",
    "..unit.0123abcd.tmp-x_1y2z3a",
    ".unit.files.0123abcd.tmp",
    ".unit.seconds.0123abcd.tmp",
)


def test_leftovers_are_swept_unless_their_process_lives(tmp_path: Path) -> None:
    for name in LEFTOVERS:
        write(tmp_path / name)
        write(tmp_path / name.replace("unit", "busy"))
    write(tmp_path / "unit")
    with FileLock(tmp_path / "busy.lock"):
        sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(
        [*(name.replace("unit", "busy") for name in LEFTOVERS), "unit"]
    )
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["unit"]


def test_a_list_is_parsed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "annotations" / "dev.json"
    parsed = []
    load = annotated_sets.load_unlabelled
    monkeypatch.setattr(annotated_sets, "load_unlabelled", lambda *asked: parsed.append(asked) or load(*asked))
    for name in ("a", "b"):
        write(file.parent, name="dev.json", text=f'{{"images": [{{"id": 1, "file_name": "{name}.png"}}]}}')
        write(tmp_path / "images", name=f"{name}.png", text="pixels")
        assert count_images(tmp_path, "dev") == 1
        assert annotated_set(tmp_path, "dev") == [file, [(f"{name}.png", "", 1, 6)]]
    assert len(parsed) == 2
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(DatasetDMError, match=r"lacks b\.png"):
        annotated_set(tmp_path, "dev")


@pytest.mark.parametrize("age", [0.0, 60.0])
def test_a_digest_sees_a_change_of_the_same_size(tmp_path: Path, age: float) -> None:
    file = tmp_path / "a.json"
    digests = set()
    for number, text in enumerate(("[1]", "[2]")):
        file.write_text(text)
        changed = time.time() - age + number
        os.utime(file, (changed, changed))
        digests |= {digest(file), digest(file)}
    assert len(digests) == 2


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    for name in (*LEFTOVERS, ".unit.lock"):
        write(tmp_path / name)
    make_unit(tmp_path / "unit", write)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [".unit.lock", "unit"]
