"""The table of prompts from a language model and from files, from the settings to the table."""

import re
from pathlib import Path

import pandas as pd
import pytest

from datasetdm.cli import main
from tests.prompts.language_model.conftest import server, tiny_model
from tests.prompts.language_model.scripted import Reply, Server, refused, said

__all__ = ["server", "tiny_model"]

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
TABLE = Path("data/prompts/coco.csv")
PLACES = (
    "on the grass",
    "in the snow",
    "by a lake",
    "on a road",
    "in a room",
    "on the beach",
    "at night",
    "in the rain",
)


def writes(texts: list[str]) -> Reply:
    """What a good model of the embedded world would write: some lines that can be used, one that cannot."""
    (noun,) = re.findall(r'has the word\s+"([^"]+)"', texts[1])
    turn = len(texts) // 2 - 1
    lines = [f"a red {noun} {place} and a white {noun}" for place in PLACES[2 * turn : 2 * turn + 2]]
    return said("Sure! Here you are:\n" + "\n".join(f"{k}. {line}" for k, line in enumerate([*lines, "a zebra"], 1)))


@pytest.fixture
def asking(project, edit, server: Server) -> Server:
    """A project whose prompts come from the scripted endpoint."""
    project(MINIWORLD)
    edit("benchmarks.coco.prompts", {
        "num_prompts": 14,
        "source": "language_model",
        "language_model": {"backend": "openai", "base_url": server.base_url, "model": "tiny", "max_retries": 0},
    })  # fmt: skip
    assert main(["ingest", "coco"]) == 0
    server.write = writes
    return server


def test_the_table_is_written_and_a_rerun_asks_nothing(asking: Server, capsys) -> None:
    assert main(["write_prompts", "coco"]) == 0
    out = capsys.readouterr().out
    assert "lines are rejected" in out and "talks about itself" in out
    table = pd.read_csv(TABLE, keep_default_na=False)
    assert len(table) == 14 and set(table["kind"]) == {"plain", "language_model"}
    own = table[table["kind"] == "language_model"]
    assert set(own["model"]) == {"scripted-1"} and own["instruction"].str.fullmatch("[0-9a-f]{8}").all()
    assert (table["kind"] == "plain").sum() == 4 and not table["prompt"].str.contains("zebra|Sure").any()
    # The embedded text encoder knows few words, and the model is told which.
    assert "Use no other words than these: a, afternoon" in asking.requests[0]["messages"][-1]["content"]
    first, asked = TABLE.read_bytes(), len(asking.requests)
    TABLE.unlink()
    assert main(["write_prompts", "coco"]) == 0
    assert TABLE.read_bytes() == first and len(asking.requests) == asked
    assert "0 answers of the language model" in capsys.readouterr().out
    assert len(list(Path("data/answers").iterdir())) == asked


def test_what_was_won_before_an_error_is_kept(asking: Server, capsys) -> None:
    count = 3

    def limited(texts: list[str]) -> Reply:
        return writes(texts) if len(asking.requests) <= count else refused(429, "slow down")

    asking.write = limited
    assert main(["write_prompts", "coco"]) == 2
    error = capsys.readouterr().err
    assert "slow down" in error and "again to continue" in error and not TABLE.exists()
    assert len(list(Path("data/answers").iterdir())) == count
    asking.write = writes
    before = len(asking.requests)
    assert main(["write_prompts", "coco"]) == 0
    assert len(asking.requests) - before + count == len(list(Path("data/answers").iterdir()))


def test_nonsense_only_is_an_error_that_says_what_came(asking: Server, capsys) -> None:
    asking.write = lambda texts: said("colourless green ideas sleep furiously at night")
    assert main(["write_prompts", "coco"]) == 2
    error = capsys.readouterr().err
    assert "wrote no usable prompt" in error and "does not name the category" in error and "colourless green" in error
    asking.write = lambda texts: said("")
    Path("data/answers").rename("data/before")
    assert main(["write_prompts", "coco"]) == 2
    assert "its answers are empty" in capsys.readouterr().err


def test_an_edited_instruction_asks_again_and_an_edited_table_is_kept(asking: Server, edit, tmp_path, capsys) -> None:
    assert main(["write_prompts", "coco"]) == 0
    asked = len(asking.requests)
    own = tmp_path / "mine.txt"
    own.write_text(
        '[question]\nEin Satz zu {plural}; it has the word "{category}".\n[completion]\n{category}:\n[system]\nHi.'
    )
    edit("benchmarks.coco.prompts.language_model.instruction", str(own))
    assert main(["write_prompts", "coco"]) == 0
    assert len(asking.requests) > asked and asking.requests[-1]["messages"][1]["content"].startswith("Ein Satz zu")
    mine = TABLE.read_text() + "99,a dog,dog,mine,,,\n"
    TABLE.write_text(mine)
    assert main(["write_prompts", "coco"]) == 0
    assert TABLE.read_text() == mine and "was edited and is kept" in capsys.readouterr().out


def test_a_preview_asks_no_more_than_it_shows(asking: Server, capsys) -> None:
    assert main(["prompts", "preview", "coco", "--n", "3"]) == 0
    out = capsys.readouterr().out
    assert len(asking.requests) == 2  # two lines that can be used in each answer
    assert len(re.findall(r"^  a red", out, re.MULTILINE)) == 3
    assert "2 talks about itself or the task:" in out and "a zebra" in out
    assert re.search(r"Prompts per category: 0 to \d", out) and re.search(r"about \d+ questions, [\d,]+ tokens", out)
    assert main(["prompts", "preview", "coco", "--n", "3"]) == 0
    assert len(asking.requests) == 2 and "0 questions asked now" in capsys.readouterr().out
    assert main(["write_prompts", "coco"]) == 0
    everything = len(asking.requests)
    assert len(list(Path("data/answers").iterdir())) == everything  # what the preview asked was not asked twice
    capsys.readouterr()
    assert main(["prompts", "preview", "coco", "--n", "999"]) == 0
    assert len(asking.requests) == everything and "Nothing is left to ask" in capsys.readouterr().out


def test_a_local_model_of_noise_is_constrained_and_reported(project, edit, tiny_model, capsys) -> None:
    project(MINIWORLD)
    edit("benchmarks.coco.prompts", {
        "num_prompts": 4,
        "source": "language_model",
        "language_model": {"model": str(tiny_model), "form": "constrained", "max_answers": 1, "lines_per_answer": 2},
    })  # fmt: skip
    assert main(["run", "coco", "--until", "ingest"]) == 0
    assert main(["write_prompts", "coco"]) == 2
    assert "has words that the text encoder does not know" in capsys.readouterr().err


def test_files_are_read_and_noticed(project, edit, tmp_path, capsys) -> None:
    project(MINIWORLD)
    folder = tmp_path / "released"
    folder.mkdir()
    edit("benchmarks.coco.prompts", {"num_prompts": 10, "source": "files", "files": str(folder)})
    assert main(["ingest", "coco"]) == 0
    assert main(["write_prompts", "coco"]) == 2
    assert "has no prompts" in capsys.readouterr().err
    (folder / "general.txt").write_text("a quiet place\ntwo dogs on the grass\n")
    (folder / "traffic_light.txt").write_text(
        "a traffic light and a person on a road\n" + "a traffic light " * 20 + "\n"
    )
    (folder / "notes.md").write_text("not a prompt")
    assert main(["write_prompts", "coco"]) == 0
    out = capsys.readouterr().out
    assert "notes.md is skipped" in out and "longer than the 32 tokens" in out
    assert re.search(r"\d prompts instead of 10: .*released has no more", out)
    assert "No prompt names these: " in out
    table = pd.read_csv(TABLE, keep_default_na=False)
    assert list(table.columns) == ["id", "prompt", "categories", "kind"]
    rows = dict(zip(table["prompt"], table["categories"], strict=True))
    assert rows["a quiet place"] == "" and rows["two dogs on the grass"] == "dog"
    assert set(rows["a traffic light and a person on a road"].split(";")) == {"traffic light", "person"}
    assert main(["prompts", "preview", "coco"]) == 0
    assert "No language model is asked" in capsys.readouterr().out
    (folder / "dog.txt").write_text("a dog in the snow\na puppy sleeps\na cat\n")
    assert main(["write_prompts", "coco"]) == 0
    assert "a dog in the snow" in TABLE.read_text()
    out = capsys.readouterr().out
    assert "dog.txt: 1 of 3 prompts do not name dog, such as 'a cat'" in out
    assert re.search(r"prompts have words that the text encoder does not know.*: cat, .*puppy, .*sleeps", out)
    (folder / "zebra.txt").write_text("a zebra\n")
    assert main(["write_prompts", "coco"]) == 2
    assert "zebra.txt is named after no category" in capsys.readouterr().err


def test_templates_are_as_they_were(project, capsys) -> None:
    project(MINIWORLD)
    assert main(["ingest", "coco"]) == 0
    assert main(["prompts", "preview", "coco", "--n", "2"]) == 0
    out = capsys.readouterr().out
    assert "Prompts per category" in out and not Path("data/answers").exists() and not TABLE.exists()
    assert main(["write_prompts", "coco"]) == 0
    assert TABLE.read_text().splitlines()[0] == "id,prompt,categories,kind"
