"""The manifest of a synthetic set: where every image and annotation comes from."""

from collections.abc import Sequence
from typing import Any

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.diffusion.backbone import Backbone
from datasetdm.synthesis.generate import AnnotatedImage, Annotator, stream_seed


def manifest_rows(
    annotated: AnnotatedImage, annotators: Sequence[Annotator], drawer: Backbone, settings: config.Synthesis
) -> list[dict[str, Any]]:
    """The provenance of one image, a row per annotator: all it takes to make it again (docs/reproduce.md).

    `drawer` is the diffusion model that drew it. What a decoder reads is part of the decoder's fingerprint.
    """
    request = annotated.request
    origin = drawer.provenance(settings.sampler.scheduler)
    rows = []
    for annotator in annotators:
        acceptance = annotated.acceptances[annotator.name]
        rows.append(
            {
                "image": request.name,
                "decoder": annotator.name,
                "accepted": acceptance.rejected is None,
                "rejected": acceptance.rejected,
                **acceptance.scores,
                "prompt_id": request.prompt_id,
                "prompt": request.prompt,
                "prompt_categories": ";".join(request.categories),
                "prompt_kind": request.kind,
                "seed": request.seed,
                "generator_seed": stream_seed(request, 0),
                **origin,
                "backbone_fingerprint": drawer.fingerprint,
                "decoder_fingerprint": annotator.fingerprint,
                **settings.sampler.model_dump(),
                "batch_size": settings.batch_size,
                "extraction": settings.extraction,
                "timestep": annotator.settings.timestep,
                "ensemble_size": annotator.settings.ensemble_size,
                **_reading(annotator.settings),
            }
        )
    return rows


def _reading(settings: config.Decoder) -> dict[str, Any]:
    """How else the image was read: a column for several readings, and one for another method than the P-Decoder."""
    columns = {} if settings.reading is None else {"reading": settings.reading.model_dump_json()}
    return columns if settings.method == "p_decoder" else columns | {"decoder_method": settings.method}


def sample_of(annotated: AnnotatedImage, annotator: str) -> Sample:
    """The image with that annotator's annotation, whether the filter accepted it or not."""
    return Sample(
        name=annotated.request.name,
        image=annotated.image,
        caption=annotated.request.prompt,
        target=annotated.acceptances[annotator].target,
        image_id=annotated.request.index + 1,
    )
