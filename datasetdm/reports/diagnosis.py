"""Go or no-go: are more synthetic images worth making, what limits them, and how many labels do they replace?

This is arithmetic on the dev figures of a few trainings; `pipeline.diagnose` runs these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasetdm.task_parts import METRICS, Metric

#: Link of the chain -> the two trainings whose difference is the loss (better, worse), and what helps.
LINKS = {
    "label": (
        ("true", "pseudo"),
        "The P-Decoder's labels are the limit. Try more or better labelled images, a longer training "
        "(decoder.iterations), another noise level (decoder.timestep) or a stricter synthesis.filter.score_threshold.",
    ),
    "image": (
        ("pseudo", "synthetic"),
        "The generated images are the limit. Try prompts closer to the real scenes, more splices "
        "(augmentation.num_images) if generated images hold fewer objects than real ones, another guidance_scale, more "
        "sampler steps, a better diffusion model, or one that is fine-tuned to your domain.",
    ),
    "amount": (
        ("synthetic", "synthetic_half"),
        "The number of images is the limit. Raise synthesis.num_images, and prompts.num_prompts with it.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What labels and synthetic images cost.

    Attributes:
        num_real: number of labelled images.
        num_synthetic: number of accepted synthetic images.
        minutes_per_label: a person's time for one labelled image.
        compute_seconds: time to train the P-Decoder and to make the synthetic set.
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
        effort: the cost of labels and images.
        objects_per_image: set (`real`, `synthetic`) -> mean number of annotated objects; None where a task has none.

    Returns:
        `links`: the loss at each link (positive: worse); `weak_link`; `gain` of `both` over `real`; `go`: whether more
        synthetic images of this kind are worth making, which holds if they help already and the last doubling also
        helped; `break_even` (see `break_even`).
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
    """How many labelled images the synthetic ones replace.

    A metric grows roughly with the logarithm of the number of labels. The last doubling, from half to all, gives the
    slope. `labels`: additional labelled images that would bring the same gain; 0 without a gain, None if the last
    doubling brought nothing, because the slope is then unknown. `annotation_hours`: a person's time for them.
    `compute_hours`: time to train the P-Decoder and to make the synthetic set.
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
            + ("worth making." if verdict["go"] else "not worth making yet. Fix the weak link first."),
            f"The weak link is the **{weak}**. {LINKS[weak][1]}",
            "",
            *_objects_lines(verdict["objects_per_image"]),
            f"| trained on | {metric.axis} on dev |",
            "|---|---:|",
            *rows,
            "",
            f"| link | difference | loss, {metric.axis} |",
            "|---|---|---:|",
            *losses,
            "",
            f"| real labels | synthetic images | gain, {metric.axis} | equals more labels | hours to annotate "
            "| compute hours |",
            "|---:|---:|---:|---:|---:|---:|",
            _break_even_row(metric, verdict, effort),
            "",
            "This is one seed: differences of a point or two mean nothing. The annotation time assumes "
            f"{effort.minutes_per_label:g} minutes per image (--minutes-per-label).",
            "",
        ]
    )


def _objects_lines(objects_per_image: Mapping[str, float]) -> list[str]:
    if not objects_per_image:
        return []
    real, synthetic = objects_per_image["real"], objects_per_image["synthetic"]
    return [f"Labelled objects per image: {real:.1f} in real images, {synthetic:.1f} in accepted generated ones.", ""]


def _break_even_row(metric: Metric, verdict: Mapping[str, Any], effort: Effort) -> str:
    found = verdict["break_even"]
    labels = "unknown" if found["labels"] is None else f"{found['labels']:.0f}"
    hours = "-" if found["annotation_hours"] is None else f"{found['annotation_hours']:.1f}"
    return (
        f"| {effort.num_real} | {effort.num_synthetic} | {metric.signed(verdict['gain'])} | {labels} | {hours} "
        f"| {found['compute_hours']:.2f} |"
    )
