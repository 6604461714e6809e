"""Go or no-go: whether more synthetic images are worth making, which link of the chain is weak, what images are worth.

Pure arithmetic on the dev figures of a few trainings; `stages.diagnose` makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasetdm.reports.comparison import METRICS, Metric

#: A link -> what is lost there (better training - worse training), and what helps.
LINKS = {
    "label": (
        ("true", "pseudo"),
        "The annotations that the P-Decoder reads are the limit: more or better labelled images, a longer training "
        "(decoder.iterations), another noise level (decoder.timestep), a stricter synthesis.score_threshold.",
    ),
    "image": (
        ("pseudo", "synthetic"),
        "The drawn images are the limit: prompts nearer to the real scenes, more splices (augmentation.num_images) "
        "where drawn scenes hold fewer objects than real ones, another guidance_scale or more sampler steps, a better "
        "diffusion model, or one fine-tuned to the domain.",
    ),
    "amount": (
        ("synthetic", "synthetic_half"),
        "The number of images is the limit: raise synthesis.num_images (and prompts.num_prompts with it).",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What labels and synthetic images cost.

    Attributes:
        num_real: labelled images at hand.
        num_synthetic: accepted synthetic images.
        minutes_per_label: a person's time for one labelled image.
        compute_seconds: time that the decoder and the synthetic set took.
    """

    num_real: int
    num_synthetic: int
    minutes_per_label: float
    compute_seconds: float


def conclude(
    name: str, figures: Mapping[str, float], effort: Effort, objects_per_image: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The verdict on the dev figures of a metric.

    Args:
        name: the metric, a key of `METRICS`.
        figures: training -> its value: `real`, `real_half`, `synthetic`, `synthetic_half`, `both`, `pseudo`, `true`.
        effort: what the images cost.
        objects_per_image: set (`real`, `synthetic`) -> mean number of annotated objects; None where a task has none.

    Returns:
        `links`: what is lost at each (positive: worse); `weak_link`; `gain` of `both` over `real`; `go`: whether more
        of the same synthetic images are worth making, which is so where they help already and the last doubling
        helped, too; `break_even` (see `break_even`).
    """
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    merit = {training: sign * value for training, value in figures.items()}
    links = {link: merit[better] - merit[worse] for link, ((better, worse), _) in LINKS.items()}
    gain = merit["both"] - merit["real"]
    return {
        "metric": name,
        "figures": dict(figures),
        "links": links,
        "weak_link": max(links, key=lambda link: links[link]),
        "gain": gain,
        "go": gain > 0 and links["amount"] > 0,
        "break_even": break_even(gain, merit["real"] - merit["real_half"], effort),
        "objects_per_image": dict(objects_per_image or {}),
    }


def break_even(gain: float, per_doubling: float, effort: Effort) -> dict[str, float | None]:
    """How many labelled images the synthetic ones are worth.

    A metric grows about with the logarithm of the number of labels; the last doubling, from half of them to all, shows
    how fast. `labels`: further labelled images that would have brought the same gain, 0 where there is none, None where
    the last doubling brought nothing, as then nothing can be said. `annotation_hours`: what a person would need for
    them. `compute_hours`: what the decoder and the synthetic set took.
    """
    labels: float | None = None
    if gain <= 0:
        labels = 0.0
    elif per_doubling > 0:
        labels = effort.num_real * (2 ** min(gain / per_doubling, 10.0) - 1)
    return {
        "labels": labels,
        "annotation_hours": None if labels is None else labels * effort.minutes_per_label / 60,
        "compute_hours": effort.compute_seconds / 3600,
    }


def diagnosis_text(benchmark: str, verdict: Mapping[str, Any], effort: Effort) -> str:
    """The verdict in Markdown."""
    metric = METRICS[verdict["metric"]]
    rows = [f"| {training} | {metric.text(value)} |" for training, value in verdict["figures"].items()]
    losses = [
        f"| {link} | {better} - {worse} | {metric.signed(verdict['links'][link])} |"
        for link, ((better, worse), _) in LINKS.items()
    ]
    weak = verdict["weak_link"]
    return "\n".join(
        [
            f"# {benchmark}: {'GO' if verdict['go'] else 'NO-GO'}",
            "",
            "More of the same synthetic images are "
            + ("worth making." if verdict["go"] else "not worth making yet: mend the weak link first."),
            f"The weak link is the **{weak}**. {LINKS[weak][1]}",
            "",
            *_objects_lines(verdict["objects_per_image"]),
            f"| trained on | {metric.axis} on dev |",
            "|---|---:|",
            *rows,
            "",
            f"| link | between | lost there, {metric.axis} |",
            "|---|---|---:|",
            *losses,
            "",
            f"| real labels | synthetic images | gain, {metric.axis} | worth more labels | hours to annotate "
            "| compute hours |",
            "|---:|---:|---:|---:|---:|---:|",
            _break_even_row(metric, verdict, effort),
            "",
            f"One seed: differences of a point or two say nothing. {effort.minutes_per_label:g} "
            "minutes of annotation per image are assumed (--minutes-per-label).",
            "",
        ]
    )


def _objects_lines(objects_per_image: Mapping[str, float]) -> list[str]:
    if not objects_per_image:
        return []
    real, synthetic = objects_per_image["real"], objects_per_image["synthetic"]
    return [f"Annotated objects per image: {real:.1f} in real ones, {synthetic:.1f} in accepted drawn ones.", ""]


def _break_even_row(metric: Metric, verdict: Mapping[str, Any], effort: Effort) -> str:
    found = verdict["break_even"]
    labels = "cannot be told" if found["labels"] is None else f"{found['labels']:.0f}"
    hours = "-" if found["annotation_hours"] is None else f"{found['annotation_hours']:.1f}"
    return (
        f"| {effort.num_real} | {effort.num_synthetic} | {metric.signed(verdict['gain'])} | {labels} | {hours} "
        f"| {found['compute_hours']:.2f} |"
    )
