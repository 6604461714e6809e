"""What each round of drawing has taught: which slices need images most, what was asked for next, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from datasetdm.task_parts import METRICS

NUM_SHOWN = 8
HEADINGS = ("slice", "dev images or objects", "score", "need", "prompts", "next prompts", "score afterwards")

#: What was learnt after a round, as `synthesize` publishes it in `rounds/<n>.json`.
Round = Mapping[str, Any]


@dataclass(frozen=True)
class RoundSection:
    """A round on the report page: a title, a sentence or two, and the rows of a table under `HEADINGS`."""

    title: str
    lines: list[str]
    rows: list[list[str]]


def round_sections(rounds: Sequence[Round]) -> list[RoundSection]:
    """A section per round; its last column has the scores after the next round."""
    following = [*rounds[1:], None] if rounds else []
    return [_section(one, later) for one, later in zip(rounds, following, strict=True)]


def round_tables(rounds: Sequence[Round]) -> dict[str, str]:
    """The sections as Markdown: title -> lines and table."""
    return {
        section.title: "\n".join([*section.lines, "", _markdown(section.rows)]) for section in round_sections(rounds)
    }


def round_metrics(rounds: Sequence[Round]) -> dict[str, float]:
    """Of each round the score on dev, the accepted share, and the mean score of what needed most at first."""
    needed = [name for name in _most_needed(rounds[0]) if all(_known(name, one) for one in rounds)] if rounds else []
    found: dict[str, float | None] = {}
    for one in rounds:
        prefix = f"round_{one['round']}"
        found[f"{prefix}/{one['metric']}"] = one["score"]["value"]
        found[f"{prefix}/accepted_fraction"] = one["accepted_fraction"]
        if needed:
            found[f"{prefix}/{one['metric']}_weakest"] = fmean(one["slices"][name]["value"] for name in needed)
    return {name: value for name, value in found.items() if value is not None}


def _section(one: Round, later: Round | None) -> RoundSection:
    needed = _most_needed(one)
    metric = METRICS[one["metric"]]
    lines = [
        f"{one['images']} images drawn so far, {100 * one['accepted_fraction']:.0f} % accepted. Score on dev: "
        f"{metric.title} {_score(one, one['score'])}."
    ]
    unasked = [name for name in needed if one["slices"][name]["share_of_prompts"] == 0]
    if unasked and later is not None:
        lines.append(f"No prompt of the table asks for: {', '.join(unasked)}. Add some to have them drawn.")
    return RoundSection(
        title=f"After round {one['round']}",
        lines=lines,
        rows=[_row(name, one, later) for name in needed],
    )


def _most_needed(one: Round) -> list[str]:
    """The slices that dev shows, those with the greatest need first."""
    seen = [name for name in one["slices"] if _known(name, one)]
    return sorted(seen, key=lambda name: (-one["slices"][name]["need"], name))[:NUM_SHOWN]


def _known(name: str, one: Round) -> bool:
    return name in one["slices"] and one["slices"][name]["value"] is not None


def _row(name: str, one: Round, later: Round | None) -> list[str]:
    found = one["slices"][name]
    after = later["slices"].get(name) if later else None
    return [
        name,
        str(found["count"]),
        _score(one, found),
        f"{found['need']:.2f}",
        _share(found["share_of_prompts"]),
        _share(found["share_of_next"]),
        _score(one, after) if after else "-",
    ]


def _score(one: Round, measure: Mapping[str, Any]) -> str:
    return "-" if measure["value"] is None else METRICS[one["metric"]].text(measure["value"])


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [HEADINGS, ("---",) + ("---:",) * (len(HEADINGS) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
