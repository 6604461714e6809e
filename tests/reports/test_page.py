"""The pages as HTML: well-formed, self-contained, usable without sight, and safe whatever a prompt says."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrasts
from datasetdm.reports.figures import FigureSet
from datasetdm.reports.leaderboard import leaderboard, render_leaderboard
from datasetdm.reports.page import render_page, render_preview, viewer_of
from datasetdm.task_parts import TASKS

VOID = {"meta", "link", "img", "input", "br"}
HOSTILE = "</script><script>alert(1)</script> & \"quoted\" 'too'"
SETS = [
    FigureSet(name="synthetic", title=HOSTILE, root="../x/", count=3, scores=("num_objects", "score", "flip_agreement"))
]
CATEGORIES = (Category(id=1, name="<b>dog</b>"), Category(id=2, name="bell_pepper"))
METRIC = {"instance": "mask_ap", "semantic": "miou", "depth": "abs_rel", "pose": "keypoint_ap"}


class Page(HTMLParser):
    """Reads a page; every tag has to be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def metrics(task: str, seeds: int = 1) -> dict[str, Any]:
    name = METRIC[task]
    values = {arm: {seed: {name: 0.2 + 0.01 * seed} for seed in range(seeds)} for arm in ("real", "both", "p_decoder")}
    arms = summarize(values)
    counts = {"num_real": 4, "num_synthetic": 8}
    shared = {"benchmark": "mine", "task": task, "world": "real", "headline": [name], "baseline": {name: 0.1}, **counts}
    return {**shared, "arms": arms, "contrasts": contrasts(arms, [name])}


def report(task: str, **changes: Any) -> str:
    found = metrics(task)
    given: dict[str, Any] = {
        "arms": {"real": "what `real` learns from"},
        "viewer": viewer_of(task, CATEGORIES, SETS, "figures"),
        "facts": {"Labels on dev": f"by the model of `real` {HOSTILE}"},
        "variety": {"prompts": 12.0},
    }
    return render_page(found, **{**given, **changes})


@pytest.mark.parametrize("task", METRIC)
def test_a_report_is_well_formed_and_says_what_its_own_task_means(task: str) -> None:
    text = report(task)
    page = Page(text)
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities)) and len(page.all("main")) == len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 1
    assert all("scope" in cell for cell in page.all("th"))
    regions = [one for one in page.all("div") if one.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(one["tabindex"] == "0" and one["aria-label"] and one["role"] == "region" for one in regions)
    shown = TASKS[task].metrics[METRIC[task]]
    assert shown.axis in text and shown.explanation in text and TASKS[task].legend.split(",")[0] in text
    foreign = {metric.title for name, parts in TASKS.items() for metric in parts.metrics.values() if name != task}
    own = {metric.title for metric in TASKS[task].metrics.values()}
    assert not any(re.search(rf"<th[^>]*>{re.escape(title)}\b", text) for title in foreign - own)


def test_a_page_asks_nothing_of_the_network() -> None:
    for text in (report("instance"), render_preview("mine", "All.", viewer_of("pose", CATEGORIES, SETS, "figures"))):
        page = Page(text)
        addresses = [
            value or "" for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")
        ]
        assert not any(re.match(r"[a-z]+:|//", address) for address in addresses if not address.startswith("data:"))
        assert "url(" not in text and "@import" not in text
        assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_texts_stay_texts() -> None:
    page = Page(report("instance"))
    assert [one.get("type") for one in page.all("script")] == ["application/json", None]
    assert not page.all("b")
    assert "alert(1)&lt;/script&gt;" in report("instance")


def test_what_the_viewer_reads_is_what_was_given() -> None:
    text = report("instance")
    found = re.search(r'<script type="application/json" id="viewer">(.*?)</script>', text, re.DOTALL)
    assert found
    viewer = json.loads(found[1])
    assert viewer["sets"][0]["title"] == HOSTILE and viewer["categories"][1]["name"] == "bell pepper"
    assert len(viewer["palette"]) == 2
    assert list(viewer["scores"]) == ["score", "num_objects", "flip_agreement"]  # doubt is judged by the first


def test_names_in_backticks_are_code() -> None:
    text = report("instance")
    assert "`real`" not in Page(text).rawdata and "what <code>real</code> learns from" in text
    assert "(<code>both</code>) instead of" in text


def test_reports_and_leaderboard_lead_to_each_other() -> None:
    assert {"href": "../leaderboard.html"} in Page(report("depth")).all("a")
    board = Page(render_leaderboard(leaderboard({"mine": metrics("depth")}, ["mine", "other"])))
    assert {"href": "mine/index.html"} in board.all("a") and len(board.all("main")) == 1
    assert all("scope" in cell for cell in board.all("th")) and len(board.all("caption")) == 1


def test_a_set_without_images_is_not_offered() -> None:
    empty = [FigureSet(name="spliced", title="Spliced", root="", count=0)]
    text = report("instance", viewer=viewer_of("instance", CATEGORIES, empty, "figures"))
    assert "The images" not in text and "<script" not in text


def test_the_same_comparison_gives_the_same_bytes() -> None:
    assert report("semantic") == report("semantic")
