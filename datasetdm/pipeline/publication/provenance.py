"""What a published image says of itself: IPTC's terms for generated images as XMP, and plain PNG texts."""

import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from datasetdm.utils.png_text import XMP

#: IPTC's term for what a trained model has drawn: https://cv.iptc.org/newscodes/digitalsourcetype/
TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
KEYWORD = "DatasetDM"  # of the text with the provenance as JSON

# The fields of the IPTC Photo Metadata Standard 2025.1 for generated images.
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <Iptc4xmpExt:AIPromptInformation>{prompt}</Iptc4xmpExt:AIPromptInformation>
   <Iptc4xmpExt:AISystemUsed>{model}</Iptc4xmpExt:AISystemUsed>
   <Iptc4xmpExt:AISystemVersionUsed>{version}</Iptc4xmpExt:AISystemVersionUsed>
   <xmp:CreatorTool>{software}</xmp:CreatorTool>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def provenance_texts(row: Mapping[str, Any], benchmark: str, software: str) -> dict[str, str]:
    """The texts of a published image, for `with_texts`.

    Args:
        row: of the published manifest.
        benchmark: its name.
        software: name and version of this project.
    """
    facts = {
        "benchmark": benchmark,
        "image": row["image"],
        "prompt": row["prompt"],
        "seed": int(row["seed"]),
        "generator_seed": int(row["generator_seed"]),
        "model": row["model_path"],
        "model_revision": row["model_revision"],
        "backbone_fingerprint": row["backbone_fingerprint"],
        "software": software,
        "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA,
    }
    return {
        "Description": str(row["prompt"]),
        "Software": software,
        "Disclaimer": "Drawn by a diffusion model; not a photograph.",
        KEYWORD: json.dumps(facts, ensure_ascii=False),
        XMP: _PACKET.format(
            source_type=TRAINED_ALGORITHMIC_MEDIA,
            prompt=_xml(row["prompt"]),
            model=_xml(row["model_path"]),
            version=_xml(row["model_revision"] or row["backbone_fingerprint"]),
            software=_xml(software),
        ),
    }


def _xml(text: object) -> str:
    """The text for XML, which has no place for most control characters."""
    return escape("".join(letter if letter.isprintable() else " " for letter in str(text)))
