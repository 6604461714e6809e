"""The manifest of a synthetic set: where every image and annotation comes from."""

from collections.abc import Sequence
from typing import Any

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.diffusion.backbone import Backbone
from datasetdm.synthesis.generate import Labelled, Labeller, sampler_of, stream_seed


def manifest_rows(
    labelled: Labelled, labellers: Sequence[Labeller], backbone: Backbone, settings: config.Synthesis
) -> list[dict[str, Any]]:
    """The provenance of one image, a row per labeller: all that it takes to make it again (docs/reproduce.md)."""
    order = labelled.order
    origin = backbone.provenance(settings.scheduler)
    rows = []
    for labeller in labellers:
        acceptance = labelled.acceptances[labeller.name]
        rows.append(
            {
                "image": order.name,
                "decoder": labeller.name,
                "accepted": acceptance.rejected is None,
                "rejected": acceptance.rejected,
                **acceptance.scores,
                "prompt_id": order.prompt_id,
                "prompt": order.prompt,
                "prompt_categories": ";".join(order.categories),
                "prompt_kind": order.kind,
                "seed": order.seed,
                "generator_seed": stream_seed(order, 0),
                **origin,
                "backbone_fingerprint": backbone.fingerprint,
                "decoder_fingerprint": labeller.fingerprint,
                **sampler_of(settings),
                "extraction": settings.extraction,
                "timestep": labeller.settings.timestep,
                "noise_draws": labeller.settings.noise_draws,
            }
        )
    return rows


def accepted_sample(labelled: Labelled, labeller: str) -> Sample | None:
    """The image with its annotation as that labeller saw it, or None where it was rejected."""
    acceptance = labelled.acceptances[labeller]
    if acceptance.rejected is not None:
        return None
    return Sample(
        name=labelled.order.name,
        image=labelled.image,
        caption=labelled.order.prompt,
        target=acceptance.target,
        image_id=labelled.order.index + 1,
    )
