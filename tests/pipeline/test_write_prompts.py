"""The table of prompts belongs to the person who edits it."""

from pathlib import Path

from datasetdm.cli import main

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}


def test_edited_prompts_are_kept_and_others_are_written_again(project, edit, capsys) -> None:
    project(MINIWORLD)
    table = Path("data/prompts/coco.csv")
    assert main(["run", "coco", "--until", "ingest"]) == 0
    assert main(["write_prompts", "coco"]) == 0
    first = table.read_text()
    edit("benchmarks.coco.prompts.seed", 1)
    assert main(["write_prompts", "coco"]) == 0
    second = table.read_text()
    assert first != second and "edited" not in capsys.readouterr().out

    mine = second + "4,a dog on the moon,,mine\n"
    table.write_text(mine)
    edit("benchmarks.coco.prompts.seed", 2)
    assert main(["write_prompts", "coco"]) == 0
    assert table.read_text() == mine and "was edited and is kept" in capsys.readouterr().out
    table.unlink()
    assert main(["write_prompts", "coco"]) == 0
    assert table.read_text() not in (first, second, mine)
