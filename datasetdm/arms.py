"""The arms of the comparison: what each is trained on, what it needs, and how reports explain it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

#: Who makes a set of images: the published output of a stage, or the teacher's labels, which a training makes itself.
Output = Literal["real", "synthetic", "pseudo", "augmented", "teacher_labels"]
MADE_BY: dict[Output, str] = {
    "real": "ingest",
    "synthetic": "synthesize",
    "pseudo": "annotate",
    "augmented": "augment",
    "teacher_labels": "train_downstream",
}


class Training(NamedTuple):
    """An arm with a seed, written `both/0`: one training, and one row of figures."""

    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.arm}/{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of annotated images, one per seed.

    Attributes:
        output: where it lies.
        name: of its annotation file; `{seed}` stands for the seed.
        spliced_from: the set that `augment` splices it out of; None if it is not spliced, or not by that stage.
    """

    output: Output
    name: str
    spliced_from: "Source | None" = None

    def subset(self, seed: int) -> str:
        """The name of the annotation file for a seed."""
        return self.name.format(seed=seed)

    @property
    def stage(self) -> str:
        """The stage that makes it."""
        return MADE_BY[self.output]


LABELLED = Source(output="real", name="few_shot_{seed}")
DRAWN = Source(output="synthetic", name="seed_{seed}")
DRAWN_SPLICED = Source(output="augmented", name="seed_{seed}", spliced_from=DRAWN)
PSEUDO = Source(output="pseudo", name="seed_{seed}")
REVIEWED = Source(output="real", name="reviewed")  # what a person has corrected; most projects have none
TAUGHT = Source(output="teacher_labels", name="taught")
TAUGHT_SPLICED = Source(output="teacher_labels", name="spliced")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train the downstream model.

    Attributes:
        sources: the sets that it is trained on, in proportion to their numbers of images.
        with_labelled: whether a share of every batch (`experiment.real_weight`) comes from the labelled images.
        with_reviewed: whether labels that a person has corrected count as labelled images, and take the place of what
            they correct, where there are any (`datasetdm review`).
        further_images: whether it needs the images of the oracle set (`ingest.num_oracle`).
        teacher: the arm whose model labels images for it.
        control: whether it is trained for comparison only: measured, but never registered for use.
        summary: what it is trained on in a few words, with fields in braces that `metrics.json` has.
        explanation: more for the report, with fields in braces that `compare` fills in.
    """

    sources: tuple[Source, ...]
    with_labelled: bool = False
    with_reviewed: bool = False
    further_images: bool = False
    teacher: str | None = None
    control: bool = False
    summary: str = ""
    explanation: str = ""

    def uses(self, output: Output) -> bool:
        """Whether it is trained on a set of this output."""
        return any(source.output == output for source in self.sources)


# `real_augmented` and `self_training` have as many labelled images in a batch as `both`; the other half is spliced out
# of these, or labelled by the teacher. `pseudo` is to real images what `synthetic` is to drawn ones.
ARMS: dict[str, Arm] = {
    "real": Arm(sources=(LABELLED,), summary="{num_real} labelled images"),
    "synthetic": Arm(
        sources=(DRAWN, DRAWN_SPLICED),
        summary="{num_synthetic} synthetic images",
        explanation="the accepted images, and {num_spliced} spliced out of them, with the P-Decoder's labels",
    ),
    "both": Arm(
        sources=(DRAWN, DRAWN_SPLICED),
        with_labelled=True,
        with_reviewed=True,
        summary="{num_real} labelled and {num_synthetic} synthetic images",
        explanation="the labelled images in every batch, the rest as in `synthetic`",
    ),
    "oracle": Arm(
        sources=(Source(output="real", name="oracle"),),
        further_images=True,
        control=True,
        summary="{num_oracle} labelled images",
        explanation="{num_oracle} further training images with their true labels",
    ),
    "real_augmented": Arm(
        sources=(Source(output="augmented", name="real_{seed}", spliced_from=LABELLED),),
        with_labelled=True,
        control=True,
        summary="{num_real} labelled images and {num_spliced} splices of them",
        explanation="the labelled images, and {num_spliced} spliced out of them as the synthetic ones are",
    ),
    "self_training": Arm(
        sources=(TAUGHT, TAUGHT_SPLICED),
        with_labelled=True,
        further_images=True,
        teacher="real",
        control=True,
        summary="{num_real} labelled images and {num_taught} that the model of `real` labelled",
        explanation="the labelled images, and the oracle's images without their labels: what the model of `real` finds "
        "in {num_taught} of them, with a confidence of {threshold:g} or more; spliced and mixed as in `both`",
    ),
    "pseudo": Arm(
        sources=(PSEUDO, Source(output="augmented", name="pseudo_{seed}", spliced_from=PSEUDO)),
        further_images=True,
        control=True,
        summary="{num_pseudo} real images that the P-Decoder labelled",
        explanation="the oracle's images without their labels: what the P-Decoder reads off {num_pseudo} of them with "
        "their captions as prompts; accepted, spliced and trained on as the synthetic ones. Captions written from "
        "labels, where the data set has none: {captions_written_here}",
    ),
}

#: The columns of the leaderboard.
MAIN_ARMS: tuple[str, ...] = ("real", "synthetic", "both", "oracle")

#: The arm of interest and the one that it is compared with: what synthetic images add to the real ones, whether that is
#: more than splicing or self-training would add, and what drawing images gains over labelling real ones.
CONTRASTS: tuple[tuple[str, str], ...] = (
    ("both", "real"),
    ("both", "real_augmented"),
    ("both", "self_training"),
    ("synthetic", "pseudo"),
)

#: A row of the comparison that is not an arm, as nothing is trained: the P-Decoder reads the test images. It gets their
#: pixels alone, as the models of the arms do; the true captions might have been written from the test labels.
P_DECODER = "p_decoder"
P_DECODER_EXPLANATION = "no training: the P-Decoder on the test images, given nothing but their pixels"
