"""The settings of the real data: where they lie, and how many of them are taken."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from datasetdm.config.base import BACKGROUND, Fraction, Names, Section, Seed, Text, key_of
from datasetdm.layouts import LAYOUTS

Distribution = Literal["web", "coco", "long_tail", "street", "room", "figure"]
Format = Annotated[str, key_of(LAYOUTS)]


class Miniworld(Section):
    """The images of the embedded world that are used instead of a real data set."""

    distribution: Distribution = Field(
        default="coco", description="What the scenes show: see datasetdm/miniworld/distributions.py"
    )
    num_train: PositiveInt = Field(description="Training images")
    num_val: PositiveInt = Field(description="Validation images")
    image_size: PositiveInt = Field(default=128, description="Side of the images in pixels: divides 256, or n x 128")
    seed: Seed = Field(default=0, description="Another one renders other scenes")

    @field_validator("image_size")
    @classmethod
    def _same_scene_at_any_size(cls, size: int) -> int:
        if size < 16 or (256 % size and size % 128):
            raise ValueError(f"is {size}; the embedded world renders at 16, 32, 64, 128, 256 and multiples of 128")
        return size


class Source(Section):
    """The folder of the real data and its layout."""

    format: Format = Field(description="Layout of the data, a name in `LAYOUTS` of datasetdm/layouts.py")
    root: Path = Field(description="Folder of the data set; `~` is the home folder")
    miniworld: Miniworld | None = Field(
        default=None, description="Render this into `root` first; None: `root` holds your own data"
    )
    names: dict[str, Text] = Field(
        default={}, description="Category -> English noun, for names that mean nothing in a prompt"
    )
    synonyms: dict[str, Names] = Field(
        default={},
        description="Category -> other words for it in captions and prompts, instead of those that are known already",
    )
    merge_same_names: bool = Field(
        default=False, description="Merge categories that read the same in a prompt; False: refuse them"
    )
    crowds: Literal["ignore", "as_objects"] = Field(
        default="ignore",
        description="Regions with `iscrowd: 1`. ignore: used neither for training nor for scores, as in COCO; "
        "as_objects: ordinary objects (CVAT exports painted masks with iscrowd: 1)",
    )

    @field_validator("names")
    @classmethod
    def _background_keeps_its_name(cls, names: dict[str, str]) -> dict[str, str]:
        if BACKGROUND in {*names, *names.values()}:
            raise ValueError(f"has '{BACKGROUND}', which no prompt names: remove it")
        return names

    @model_validator(mode="after")
    def _crowds_where_there_are_any(self) -> Self:
        if self.crowds != "ignore" and not LAYOUTS[self.format].crowds:
            raise ValueError(f"crowds: the format '{self.format}' has no crowd regions; remove this setting")
        return self

    @field_validator("root", mode="before")
    @classmethod
    def _a_folder(cls, root: Any) -> Any:
        if isinstance(root, str) and not root.strip():
            raise ValueError("is empty; name the folder of the data set")
        return Path(root).expanduser() if isinstance(root, str) else root


class DataSource(Source):
    """The real data of a benchmark, and optionally another source of the decoder's labelled images."""

    decoder: Source | None = Field(
        default=None,
        description="The decoder's labelled images, such as Virtual KITTI's dense depth for KITTI; a block with the "
        "settings above",
    )


class Ingest(Section):
    """Sizes of the image sets: few-shot, dev, oracle and iid from the training images; test is the validation set."""

    num_real: PositiveInt = Field(description="Labelled images to learn from")
    num_dev: PositiveInt = Field(description="Labelled images to make choices with, such as thresholds")
    num_oracle: int = Field(
        default=0,
        ge=0,
        description="More training images, with labels for the arm `oracle`, without labels for `pseudo` and "
        "`self_training`",
    )
    num_test: PositiveInt | None = Field(default=None, description="None: the whole validation set")
    num_iid: int = Field(
        default=0,
        ge=0,
        description="Training images for a second test set, used for nothing else; the first may differ from training",
    )
    max_lost: Fraction = Field(
        default=0.1,
        description="`ingest` stops if it leaves out more than this share of the objects (crowds, boxes without masks, "
        "no area), because models would learn them as background",
    )
    tail_images: PositiveInt | None = Field(
        default=None,
        description="Few-shot images of each category in `task.tail`; None: as many as of others",
    )
