"""What the documentation names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"`((?:datasetdm|orchestration|params|docs|scripts|benchmarks|tests)/[\w./-]*)`")
PLACE = re.compile(r"`(\w+)`(?: and `(\w+)`)? in `(datasetdm/[\w/]+\.py)`")


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/extending.md",
        "docs/reproduce.md",
        "docs/serving.md",
        "docs/setup.md",
        "benchmarks/results/README.md",
    ],
)
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = PATH.findall((ROOT / page).read_text())
    assert named and not [path for path in named if not (ROOT / path).exists()]


def test_every_registry_and_contract_is_where_it_is_said_to_be() -> None:
    places = PLACE.findall((ROOT / "docs/extending.md").read_text())
    assert len(places) > 8
    for *names, file in places:
        source = (ROOT / file).read_text()
        assert all(re.search(rf"^(class |def )?{name}\b", source, re.MULTILINE) for name in names if name), (
            names,
            file,
        )
