"""The images of a set as scripts next to a page: paged, deterministic, and harmless whatever a prompt says."""

import json
from pathlib import Path
from typing import Any

from datasetdm.reports.figures import PART, Figure, write_figures


def figure(number: int, **changes: Any) -> Figure:
    values = {
        "file": f"images/{number:06d}.png",
        "size": (640, 427),
        "caption": f"a photo of {number} dogs",
        "layer": {"areas": []},
        "labels": (number % 3,),
        "scores": {"score": number / 1000},
        "rejected": None if number % 2 else "no object above the score threshold",
    }
    return Figure(**{**values, **changes})


def content(file: Path) -> Any:
    """What the script hands to the page."""
    text = file.read_text(encoding="ascii")
    assert text.startswith("datasetdm.receive(") and text.endswith(");\n")
    name, rest = text.removeprefix("datasetdm.receive(").split(",", 1)
    assert f"{json.loads(name)}.js" == "/".join(file.parts[-2:])
    return json.loads(rest.removesuffix(");\n"))


def test_a_big_set_is_cut_into_parts_and_its_index_stays_small(tmp_path: Path) -> None:
    made = (figure(number) for number in range(2 * PART + 5))  # never all in memory
    found = write_figures(tmp_path, "synthetic", made, title="Synthetic", root="../../synthetic/a b/")
    assert found.count == 2 * PART + 5 and found.scores and found.root == "../../synthetic/a%20b/"
    assert sorted(file.name for file in (tmp_path / "synthetic").iterdir()) == [
        "index.js",
        *[f"part-{number:05d}.js" for number in range(3)],
    ]
    index = content(tmp_path / "synthetic/index.js")
    assert index["count"] == len(index["labels"]) == len(index["scores"]["score"]) == 205
    assert index["labels"][:4] == [[0], [1], [2], [0]] and index["rejected"][:3] == [0, -1, 0]
    assert index["reasons"] == ["no object above the score threshold"]
    last = content(tmp_path / "synthetic/part-00002.js")
    assert [row["file"] for row in last] == [f"images/{number:06d}.png" for number in range(200, 205)]
    assert (tmp_path / "synthetic/index.js").stat().st_size < 20 * 205


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_figures(tmp_path / name, "set", map(figure, range(PART + 1)), title="Set", root="")
    for file in (tmp_path / "one/set").iterdir():
        assert file.read_bytes() == (tmp_path / "two/set" / file.name).read_bytes()


def test_names_and_scores_of_any_kind_arrive(tmp_path: Path) -> None:
    odd = figure(0, file="images/50% #1.png", caption='</script><b>"quoted"\u2028é', scores={"score": float("nan")})
    write_figures(tmp_path, "set", [odd], title="Set", root="")
    (row,) = content(tmp_path / "set/part-00000.js")
    assert row["file"] == "images/50%25%20%231.png" and row["caption"] == odd.caption
    assert row["scores"] == {"score": None} and content(tmp_path / "set/index.js")["scores"] == {"score": [None]}


def test_an_empty_set_is_a_set(tmp_path: Path) -> None:
    found = write_figures(tmp_path, "set", [], title="Set", root="")
    assert found.count == 0 and content(tmp_path / "set/index.js")["count"] == 0
