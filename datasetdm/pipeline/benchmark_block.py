"""A benchmark's block for imported data: settings of a similar benchmark, sizes from the number of images."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from datasetdm.arms import ARMS
from datasetdm.config import Benchmark, Params, load_params
from datasetdm.config.tasks import FARTHEST
from datasetdm.datasets.importing.category_names import same_in_prompt
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.splitting import group_of
from datasetdm.datasets.selection import divide_groups
from datasetdm.errors import DatasetDMError

PAPER = Path("params") / "paper.yaml"
# For a first look. The settings of a similar benchmark are for its number of images, and may take days.
_NUM_IMAGES = 200
_NUM_PROMPTS = 1000
_NUM_SPLICES = 400
_EPOCHS = 500  # of the P-Decoder over the labelled images, as in the paper
_DOWNSTREAM_ITERATIONS = 5000
_DEV_SHARE, _MOST_DEV = 0.2, 200
_ENOUGH, _FEW, _MOST_ORACLE = 80, 40, 1000  # training images: all are learnt from below the first, else the second
_COMMENTS = {
    ("ingest", "num_real"): "labelled images to learn from; the others are dev (choices) and oracle (comparison)",
    ("synthesis", "num_images"): "images to generate for a first look",
}


@dataclass(frozen=True)
class Block:
    """A block for params.yaml.

    Attributes:
        name: of the benchmark.
        text: YAML, indented as below `benchmarks:`.
        notes: what a person should know before it runs.
    """

    name: str
    text: str
    notes: tuple[str, ...]


def make_block(
    contents: Contents, name: str, root: Path, layout: str, params: Params, group_by: str | None = None
) -> Block:
    """The block of an import.

    Args:
        contents: checked and split.
        name: of the benchmark.
        root: folder of the data set.
        layout: its layout.
        params: the project's settings; the first benchmark of the same task gives the settings of the models.
        group_by: as for `splitting.split`.

    Raises:
        DatasetDMError: there is no benchmark of this task to begin with.
    """
    template, origin = _template(contents.task, params)
    block = template.model_dump(mode="json", exclude_unset=True, exclude={"study"})
    ingest = _sizes(contents, group_by)
    block["task"] = _task(contents, block["task"])
    block["source"] = _source(contents, root, layout)
    block["ingest"] = ingest
    block["prompts"] = {"num_prompts": min(template.prompts.num_prompts, _NUM_PROMPTS)}
    block["synthesis"]["num_images"] = _NUM_IMAGES
    block["augmentation"]["num_images"] = min(template.augmentation.num_images, _NUM_SPLICES)
    decoder = template.decoder
    iterations = min(decoder.iterations, math.ceil(_EPOCHS * ingest["num_real"] / decoder.batch_size))
    block["decoder"] |= {
        "iterations": iterations,
        "evaluate_every": min(decoder.evaluate_every, max(1, iterations // 5)),
    }
    block["downstream"]["iterations"] = min(template.downstream.iterations, _DOWNSTREAM_ITERATIONS)
    block["experiment"]["arms"] = _arms(block["experiment"]["arms"], ingest["num_oracle"])
    Benchmark.model_validate(block)
    return Block(name, _text(name, block, contents.root), tuple(_notes(origin, params)))


def _template(task: str, params: Params) -> tuple[Benchmark, str]:
    """The first benchmark of a task that has nothing special, and where it stands."""
    found = _first(task, params)
    if found:
        return params.benchmarks[found], f"params.yaml's `{found}`"
    if PAPER.exists():
        paper = load_params(PAPER)
        if found := _first(task, paper):
            return paper.benchmarks[found], f"{PAPER}'s `{found}`"
    raise DatasetDMError(
        f"params.yaml has no benchmark of the task '{task}' whose settings the new one could take, and {PAPER} is not "
        "there: copy a block of this task from the repository's params.yaml."
    )


def _first(task: str, params: Params) -> str | None:
    special = ("unseen", "tail")
    plain = (
        name
        for name, benchmark in params.benchmarks.items()
        if benchmark.task.name == task and not any(getattr(benchmark.task, setting, ()) for setting in special)
    )
    return next(plain, None)


def _sizes(contents: Contents, group_by: str | None) -> dict[str, Any]:
    """How many images each set takes: a fifth for dev; of few images all others to learn from, of many some dozens.

    Images that look like those of dev are in no other set (`divide_groups`).
    """
    groups = [group_of(picture.name, group_by) for picture in contents.pictures if picture.subset == "train"]
    dev = min(max(1, round(_DEV_SHARE * len(groups))), _MOST_DEV)
    rest = len(divide_groups(groups, dev)[1])
    if rest < 1:
        raise DatasetDMError(
            f"{contents.root} has {len(groups)} training images in {len(set(groups))} groups, and two groups are "
            "needed: one to learn from, and one to make choices with. Label some more; a few dozen are a good start."
        )
    real = rest if rest < _ENOUGH else _FEW
    sizes: dict[str, Any] = {"num_real": real, "num_dev": dev, "num_oracle": min(rest - real, _MOST_ORACLE)}
    bare = [s.segmentation is None or s.crowd for p in contents.pictures for s in p.shapes]
    if contents.task == "instance" and bare and (share := sum(bare) / len(bare)) > 0.05:
        sizes["max_lost"] = min(1.0, math.ceil(20 * share + 1) / 20)  # the user knows of them, and went on
    return sizes


def _task(contents: Contents, task: dict[str, Any]) -> dict[str, Any]:
    if contents.task != "depth":
        return task
    farthest = min(math.ceil(contents.details["farthest"] * 10) / 10, FARTHEST)
    return {"name": "depth", "min_depth": 0.001, "max_depth": farthest}


def _source(contents: Contents, root: Path, layout: str) -> dict[str, Any]:
    source: dict[str, Any] = {"format": layout, "root": root.as_posix()}
    if same_in_prompt(contents.categories):
        source["merge_same_names"] = True
    return source


def _arms(arms: list[str], num_oracle: int) -> list[str]:
    """The arms that can be trained without further labelled images, if there are none."""
    kept = [arm for arm in arms if num_oracle or not ARMS[arm].further_images]
    return [arm for arm in kept if ARMS[arm].teacher in (None, *kept)]


def _text(name: str, block: Mapping[str, Any], origin: Path) -> str:
    """The block as YAML: sections as blocks, what is inside them on one line where it is short."""
    document = CommentedMap({name: CommentedMap({key: _node(value) for key, value in block.items()})})
    for (section, key), comment in _COMMENTS.items():
        document[name][section].yaml_add_eol_comment(comment, key)
    yaml = YAML()
    yaml.width = 4096
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    stream = io.StringIO()
    yaml.dump(document, stream)
    lines = stream.getvalue().splitlines()
    lines[0] = f"{lines[0]}  # imported from {origin.name}"
    return "".join(f"  {line}\n" for line in lines)


def _node(value: Any, depth: int = 0) -> Any:
    """Lists, small blocks and blocks in sections are written on one line."""
    if isinstance(value, list):
        sequence = CommentedSeq([_node(item, depth + 1) for item in value])
        sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, dict):
        mapping = CommentedMap({key: _node(item, depth + 1) for key, item in value.items()})
        if depth or len(value) < 3:
            mapping.fa.set_flow_style()
        return mapping
    return value


def _notes(origin: str, params: Params) -> list[str]:
    notes = [f"The settings of the models are those of {origin}, shortened for a first look."]
    if Path(params.backbone.path).name == "miniworld":
        notes.append(
            "`backbone.path` in params.yaml is the embedded model, which knows its own small world alone and draws no "
            f"photographs. For photographs take the settings for Stable Diffusion first: cp {PAPER} params.yaml, and "
            "import again with --replace."
        )
    return notes
