"""The values that travel between the rooms: samples, annotations, predictions, diffusion features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from datasetdm.errors import DatasetDMError


@dataclass(frozen=True, kw_only=True)
class Category:
    """One class of a data set, as its annotation file has it.

    `id` is the data set's own (official, possibly non-contiguous) id; the *label* of a category, as
    used in tensors, is its index in the data set's list of categories. `frequency` is LVIS's: 'r', 'c' or 'f'
    (rare, common, frequent: in up to 10, up to 100 or more training images), empty where the file does not say.
    """

    id: int
    name: str
    supercategory: str = ""
    frequency: str = ""

    @property
    def noun(self) -> str:
        """The name as a prompt has it: `bell pepper` of LVIS's `bell_pepper`, `bow (weapon)` of `bow_(weapon)`.

        The remark in brackets stays: without it several categories would read the same, and a prompt would ask for
        the wrong one.
        """
        return " ".join(self.name.replace("_", " ").split())


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one image: the annotation (scores all 1) or a prediction of the `instance` task.

    Attributes:
        masks: bool, N x H x W, visible pixels of each object. (From `Split.compact` an `EncodedMasks`, which takes the
            place of the array for readers that go through it mask by mask.)
        labels: int64, N, index into the data set's categories.
        scores: float32, N, in [0, 1].
        crowd: bool, N; a crowd region is neither learnt nor counted as a miss (COCO's `iscrowd`).
        judged: the labels that annotators looked for in this image, those of its objects among them; a detection of
            any other is neither right nor wrong. None: all labels. (LVIS's "federated" annotation, arXiv 1908.03195)
        not_exhaustive: those of them that may have further objects, which nobody annotated; a detection of them that
            matches no object is neither right nor wrong.
    """

    masks: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray
    judged: tuple[int, ...] | None = None
    not_exhaustive: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.masks.ndim != 3 or not (len(self.labels) == len(self.scores) == len(self.crowd) == count):
            raise ValueError("masks must be N x H x W and labels, scores, crowd of length N")
        if self.judged is not None and not {*self.labels.tolist(), *self.not_exhaustive} <= {*self.judged}:
            raise ValueError("what is annotated, exhaustively or not, must be among the judged labels")

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def of(cls, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> "Instances":
        """Instances without crowds; scores default to 1."""
        count = len(masks)
        return cls(
            masks=np.asarray(masks, dtype=bool),
            labels=np.asarray(labels, dtype=np.int64),
            scores=np.ones(count, np.float32) if scores is None else np.asarray(scores, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )

    @classmethod
    def empty(cls, height: int, width: int) -> "Instances":
        """No object at all."""
        return cls.of(np.zeros((0, height, width), dtype=bool), np.zeros(0, dtype=np.int64))

    def select(self, index: np.ndarray) -> "Instances":
        """The instances that `index` (boolean mask or integer indices) picks; what was judged stays the same."""
        return replace(
            self,
            masks=self.masks[index],
            labels=self.labels[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    def relabelled(self, table: np.ndarray) -> "Instances":
        """The objects where `table` (int64, one per label) gives each label a new one, the same for some of them.

        A new label was judged throughout only if all its old ones were; where only some were, further objects of it
        may be there.
        """
        judged, not_exhaustive = None, {int(table[label]) for label in self.not_exhaustive}
        labels = table[self.labels]
        if self.judged is not None:
            old = [{*np.flatnonzero(table == new).tolist()} for new in range(int(table.max()) + 1)]
            whole = {new for new, parts in enumerate(old) if parts <= {*self.judged}}
            there = {*labels.tolist(), *not_exhaustive}
            not_exhaustive |= there - whole
            judged = tuple(sorted(whole | there))
        return replace(self, labels=labels, judged=judged, not_exhaustive=tuple(sorted(not_exhaustive)))


#: Label of a pixel that is neither learnt nor counted, in every semantic map.
IGNORE = 255


@dataclass(frozen=True, kw_only=True)
class SemanticMap:
    """The category of every pixel: the annotation or a prediction of the `semantic` task.

    Attributes:
        labels: uint8, H x W, index into the data set's categories; `IGNORE` (255) where nothing is known.
        certainty: float32, H x W in [0, 1], probability of the label given; 1 for an annotation.
    """

    labels: np.ndarray
    certainty: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8 or self.certainty.shape != self.labels.shape:
            raise ValueError("labels must be uint8 H x W and certainty of the same size")

    @classmethod
    def of(cls, labels: np.ndarray) -> "SemanticMap":
        """An annotation, certain all over."""
        labels = np.asarray(labels, dtype=np.uint8)
        return cls(labels=labels, certainty=np.ones(labels.shape, np.float32))

    def relabelled(self, table: np.ndarray) -> "SemanticMap":
        """The map where `table` (int64, one per label) gives each label a new one; `IGNORE` stays."""
        every = np.full(256, IGNORE, dtype=np.uint8)
        every[: len(table)] = table
        return replace(self, labels=every[self.labels])


@dataclass(frozen=True, kw_only=True)
class DepthMap:
    """Metric depth: the annotation or a prediction of the `depth` task.

    Attributes:
        depth: float32, H x W, metres along the optical axis; 0 where it is not known.
        valid_mask: bool, H x W, where it is known.
    """

    depth: np.ndarray
    valid_mask: np.ndarray

    def __post_init__(self) -> None:
        if self.depth.ndim != 2 or self.valid_mask.shape != self.depth.shape or self.valid_mask.dtype != bool:
            raise ValueError("depth must be H x W and valid_mask bool of the same size")

    def relabelled(self, table: np.ndarray) -> "DepthMap":
        """The map itself: it has no categories."""
        return self


@dataclass(frozen=True, kw_only=True)
class Persons:
    """People of one image with their keypoints: the annotation or a prediction of the `pose` task.

    Attributes:
        keypoints: float32, N x K x 3: x, y in pixels of the image and COCO's visibility (0 not labelled,
            1 labelled but hidden, 2 visible); K = 17 in COCO's order. Of a prediction the third number is the
            keypoint's score in [0, 1].
        boxes: float32, N x 4: x, y, width, height in pixels.
        masks: bool, N x H x W, visible pixels of each person, or those of its box where nobody drew a mask; see
            `Instances.masks`.
        scores: float32, N, in [0, 1]; 1 for an annotation.
        crowd: bool, N; neither learnt nor counted as a miss (COCO's `iscrowd`).
    """

    keypoints: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray

    def __post_init__(self) -> None:
        counts = {len(self.keypoints), len(self.boxes), len(self.masks), len(self.scores), len(self.crowd)}
        if len(counts) != 1 or self.keypoints.ndim != 3 or self.masks.ndim != 3 or self.boxes.shape[1:] != (4,):
            raise ValueError("keypoints N x K x 3, boxes N x 4, masks N x H x W, scores and crowd of length N")

    def __len__(self) -> int:
        return len(self.keypoints)

    def select(self, index: np.ndarray) -> "Persons":
        """The persons that `index` (boolean mask or integer indices) picks."""
        return Persons(
            keypoints=self.keypoints[index],
            boxes=self.boxes[index],
            masks=self.masks[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    def relabelled(self, table: np.ndarray) -> "Persons":
        """The persons themselves: they are of one category."""
        return self


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where a real image comes from, and on what terms it may be used, in COCO's words.

    Attributes:
        file_name: the image that this says it of.
        fields: `coco_url`, `flickr_url`, `date_captured` and the like of COCO's image record, as they stand there.
        license: COCO's record of the licence (`id`, `name`, `url`); empty where none is given.
        info: COCO's record of the data set (`description`, `url`, `contributor`, ...); empty where there is none.
    """

    file_name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One annotated image.

    Attributes:
        name: file name below the images folder, with suffix.
        image: uint8, H x W x 3, RGB.
        caption: the prompt that describes the image, possibly empty.
        target: the annotation, of the type that the task defines (`Instances`, `SemanticMap`, `DepthMap`, `Persons`).
        image_id: id in the annotation file.
        attribution: of the real images that it shows, one or (of a splice) several, where they have any.
    """

    name: str
    image: np.ndarray
    caption: str
    target: Any
    image_id: int = 0
    attribution: tuple[Attribution, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a task reads off the decoder for one image, before acceptance.

    Attributes:
        target: the predicted annotation, of the task's target type.
        score: the image's own quality score in [0, 1] (mean object score for `instance` and `pose`, 0 if empty).
    """

    target: Any
    score: float


@dataclass(frozen=True)
class FeatureLevel:
    """What the backbone yields at one resolution (compare timm's `feature_info`).

    Attributes:
        stride: image pixels per feature pixel.
        channels: channels of the feature map.
        attention_layers: number of cross-attention layers captured at this resolution.
    """

    stride: int
    channels: int
    attention_layers: int


@dataclass(frozen=True)
class DiffusionFeatures:
    """Features of one U-Net pass, keyed by stride (paper section 3.2, the "hypercolumn").

    Attributes:
        maps: stride -> float, B x C x h x w.
        attention: stride -> float, B x W x L x h x w: cross-attention of each of the W asked words in
            each of the L layers, mean over heads and over the tokens of the word's occurrences in
            that image's prompt, scaled so that uniform attention is 1; zeros where the prompt does not
            hold the word. Strides without attention layers are absent.
        meant: bool, B x W on the CPU: the words that stand for something in the prompt by another name ("puppy" for
            dog), where somebody has said so; they have no attention.
    """

    maps: dict[int, torch.Tensor]
    attention: dict[int, torch.Tensor]
    meant: torch.Tensor | None = None

    def mentioned(self) -> torch.Tensor:
        """Which words each image's prompt names, bool, B x W on the CPU: those with any attention, and `meant`."""
        held = [values.flatten(2).any(dim=2) for values in self.attention.values()]
        found = torch.stack(held).any(dim=0).cpu()
        return found if self.meant is None else found | self.meant

    def apply(self, function: Any) -> "DiffusionFeatures":
        """The maps and attentions with `function` applied to each of them."""
        return DiffusionFeatures(
            maps={stride: function(value) for stride, value in self.maps.items()},
            attention={stride: function(value) for stride, value in self.attention.items()},
        )

    @staticmethod
    def cat(parts: Sequence["DiffusionFeatures"]) -> "DiffusionFeatures":
        """Batches joined along the first axis."""
        return DiffusionFeatures(
            maps={stride: torch.cat([part.maps[stride] for part in parts]) for stride in parts[0].maps},
            attention={stride: torch.cat([part.attention[stride] for part in parts]) for stride in parts[0].attention},
        )


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Images drawn by the backbone.

    Attributes:
        latents: float, B x C x h x w, the denoised latents in the U-Net's scaling.
        features: features of the sampler's last step where they were asked for (the paper's way), else None.
    """

    latents: torch.Tensor
    features: DiffusionFeatures | None = None


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage tells of itself: shown by the CLI, Dagster and MLflow alike.

    Attributes:
        metrics: plain numbers.
        pictures: files worth looking at.
        tables: title -> Markdown table.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)


def checked_images(images: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """The images as a list; what models are given to predict.

    Args:
        images: uint8, H x W x 3 each, RGB, of any sizes.

    Raises:
        DatasetDMError: something else, such as a path, or a single image outside a list.
    """
    for image in images:
        array = isinstance(image, np.ndarray)
        if array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            continue
        given = f"{image.dtype} of shape {image.shape}" if array else type(image).__name__
        raise DatasetDMError(
            f"predict() takes a list of images, each an array of uint8, H x W x 3, RGB; this list holds {given}. "
            "Put a single image into a list, and read a file first: "
            "datasetdm.formats.images.read_image(path)."
        )
    return list(images)
