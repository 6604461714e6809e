"""Every page in a browser: axe-core finds nothing serious, nothing is wider than a phone, and the images appear.

Needs Chromium and axe-core. To get the latter:

    npm install --no-save --prefix /tmp/axe axe-core
    export AXE_CORE=/tmp/axe/node_modules/axe-core/axe.min.js
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasetdm.annotations.sample import Category
from datasetdm.reports.contrasts import contrasts
from datasetdm.reports.figures import Figure, write_figures
from datasetdm.reports.layers import layer
from datasetdm.reports.leaderboard import leaderboard, render_leaderboard
from datasetdm.reports.page import render_page, render_preview, viewer_of
from datasetdm.task_parts import TASKS
from datasetdm.utils.files import write_image, write_text
from tests.annotations.test_depth_map import ramp
from tests.annotations.test_instances import CATEGORIES, SIZE, apart
from tests.annotations.test_persons import COUPLE, PERSON
from tests.annotations.test_semantic_map import CATEGORIES as SEMANTIC_CATEGORIES
from tests.annotations.test_semantic_map import scene
from tests.reports.test_verdict import metrics

AXE = Path(os.environ.get("AXE_CORE", "axe.min.js"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=60000",
    "--dump-dom",
)
HOSTILE = '<img src="nowhere" onerror="document.title = 1"></script><b>a dog</b> & "a cat"'
PHONE, DESK = 390, 1280  # pixels

#: Runs in a page that is shown in a frame, and tells the page around it what it has found.
LOOK = """
<script src="axe.js"></script>
<script>
window.addEventListener("load", () => setTimeout(async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const images = [...document.querySelectorAll(".picture > img:first-child")].filter((one) => one.naturalWidth).length;
  let chosen = "";
  if (document.getElementById("choice")) {
    form.answer.value = "rejected";
    form.order.value = "doubt";
    form.dispatchEvent(new Event("change"));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const first = document.querySelector(".figures dd").textContent;
    chosen = `${document.getElementById("status").textContent}; first ${first}`;
  }
  parent.postMessage({
    page: document.title,
    serious: found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
      .map((one) => `${one.id}: ${one.nodes[0].html} (${one.nodes[0].failureSummary})`),
    passes: found.passes.length,
    tooWide: document.documentElement.scrollWidth - innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    images,
    chosen,
    injected: document.querySelectorAll("figcaption b, .tag b").length,
  }, "*");
}, 3000));
</script>
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not at AXE_CORE, see above"),
]

TARGETS: dict[str, tuple[Any, tuple[Category, ...], str]] = {
    "instance": (replace(apart(), scores=np.array([0.5, 0.9, 1.0], np.float32)), CATEGORIES, "mask_ap"),
    "semantic": (scene(), SEMANTIC_CATEGORIES, "miou"),
    "depth": (ramp(), (Category(id=1, name="room"),), "abs_rel"),
    "pose": (COUPLE, (PERSON,), "keypoint_ap"),
}


def write_pages(folder: Path) -> list[str]:
    """A report of each task, a preview and the leaderboard; their paths below `folder`."""
    pages, comparisons = [], {}
    for task, (target, categories, metric) in TARGETS.items():
        report = folder / "reports" / task
        write_image(folder / f"synthetic/{task}/images/a b.png", np.full((*SIZE, 3), 90, np.uint8))
        common = {"file": "images/a b.png", "size": SIZE[::-1], "layer": layer(target, categories)}
        judged = {"origin": {"seed": "1"}, "labels": (0,), "caption": HOSTILE}
        figures = [
            Figure(
                **common,
                **judged,
                scores=dict.fromkeys(TASKS[task].scores, 1 - number / 100),
                rejected=None if number % 2 else "an object of doubtful score",
            )
            for number in range(30)
        ]
        sets = [
            write_figures(report / "figures", "synthetic", figures, title="Synthetic", root=f"../../synthetic/{task}/"),
            write_figures(report / "figures", "real", [Figure(**common, caption="")], title="Real", root="../nowhere/"),
        ]
        viewer = viewer_of(task, categories, sets, "figures")
        found = {**metrics({"real": [0.3, 0.31], "both": [0.2, 0.25], "oracle": [0.4, 0.5]}, metric), "benchmark": task}
        found |= {"task": task, "world": "miniworld", "baseline": {metric: 0.1}, "num_oracle": 100}
        found["contrasts"] = contrasts(found["arms"], [metric])
        comparisons[task] = found
        page = render_page(
            found,
            arms={"real": "the model of `real`"},
            viewer=viewer,
            facts={"Data": HOSTILE},
            variety={"prompts": 3.0},
        )
        write_text(report / "index.html", page)
        pages.append(f"reports/{task}/index.html")
    write_text(folder / "reports/instance/preview.html", render_preview("a", "1 of 2 images are accepted.", viewer))
    write_text(folder / "reports/leaderboard.html", render_leaderboard(leaderboard(comparisons, [*comparisons, "x"])))
    return [*pages, "reports/instance/preview.html", "reports/leaderboard.html"]


def look(folder: Path, pages: list[str], *, dark: bool) -> list[dict[str, Any]]:
    """What a browser finds in each page."""
    frames = []
    for number, name in enumerate(pages):
        file = folder / name
        shutil.copyfile(AXE, file.parent / "axe.js")
        text = file.read_text().replace("</body>", f"{LOOK}</body>")
        file.with_name(f"looked_at_{number}.html").write_text(text)
        source = f"{Path(name).parent}/looked_at_{number}.html"
        width = DESK if name.endswith("preview.html") else PHONE
        frames.append(f'<iframe src="{source}" width="{width}" height="800"></iframe>')
    around = folder / "all.html"
    around.write_text(
        f"{''.join(frames)}<script>const all = []; onmessage = (event) => {{ all.push(event.data); "
        f"if (all.length === {len(frames)}) document.body.textContent = JSON.stringify(all); }};</script>"
    )
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [str(CHROMIUM), *FLAGS, *scheme, f"--user-data-dir={folder / 'profile'}", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    found = re.search(r"<body>(\[.*\])</body>", done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return list(json.loads(unescape(found[1])))


@pytest.mark.parametrize("dark", [False, True])
def test_pages_are_for_everybody_and_fit_a_phone(tmp_path: Path, dark: bool) -> None:
    pages = write_pages(tmp_path)
    found = look(tmp_path, pages, dark=dark)
    assert len(found) == len(pages)
    for one in found:
        assert one["serious"] == [] and one["passes"] > 15, one
        assert one["tooWide"] <= 0 and one["injected"] == 0 and one["dark"] == dark, one
        board = one["page"].startswith("Leaderboard")
        assert one["images"] == (0 if board else 24), one
        assert one["chosen"] == ("" if board else "15 of 30 images, page 1 of 1; first 0.72"), one
