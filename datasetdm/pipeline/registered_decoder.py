"""A P-Decoder in the model registry: where its diffusion model lies, and how both are loaded."""

from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.config import load_params
from datasetdm.decoder.inference import DecoderModel
from datasetdm.diffusion import load_backbone
from datasetdm.errors import DatasetDMError


def backbone_options(settings: config.Backbone) -> dict[str, Any]:
    """What the registry keeps of the diffusion model, which is too large for it: arguments of `load_decoder_model`."""
    options = {
        "backbone_path": _absolute(settings.path),
        "backbone_revision": settings.revision,
        "backbone_image_size": settings.image_size,
        "backbone_dtype": settings.dtype,
    }
    chosen = settings.model_dump(
        mode="json", include={"layers", "attention_layers", "loras", "ip_adapter"}, exclude_defaults=True
    )
    for lora in chosen.get("loras", ()):
        lora["path"] = _absolute(lora["path"])
    if adapter := chosen.get("ip_adapter"):
        adapter |= {name: _absolute(adapter[name]) for name in ("path", "images")}
    return options | {f"backbone_{name}": value for name, value in chosen.items()}


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if Path(path).exists() else path


def load_decoder_model(
    folder: Path,
    device: str = "auto",
    *,
    backbone_path: str | None = None,
    backbone_revision: str | None = None,
    backbone_image_size: int | None = None,
    backbone_dtype: str = "float32",
    backbone_layers: Any = None,
    backbone_attention_layers: Any = None,
    backbone_loras: Any = (),
    backbone_ip_adapter: Any = None,
) -> DecoderModel:
    """A registered P-Decoder on the diffusion model that it was trained on.

    Args:
        folder: the decoder.
        device: where both run.
        backbone_path: the diffusion model; None (the decoder was registered before this was kept): the one of
            `params.yaml` in the current folder.
        backbone_revision: as in `config.Backbone`, like the rest.
        backbone_image_size: see there.
        backbone_dtype: see there.
        backbone_layers: see there.
        backbone_attention_layers: see there.
        backbone_loras: see there.
        backbone_ip_adapter: see there.

    Raises:
        DatasetDMError: the diffusion model is missing, or is not the one that the decoder was trained on.
    """
    if backbone_path is None:
        settings = load_params().backbone
    else:
        settings = config.Backbone.model_validate(
            {
                "path": backbone_path,
                "revision": backbone_revision,
                "image_size": backbone_image_size,
                "dtype": backbone_dtype,
                "layers": backbone_layers,
                "attention_layers": backbone_attention_layers,
                "loras": backbone_loras,
                "ip_adapter": backbone_ip_adapter,
            }
        )
    try:
        backbone = load_backbone(settings, device)
    except DatasetDMError as error:
        raise DatasetDMError(
            f"The P-Decoder in {folder} works on the diffusion model {settings.path}, which cannot be loaded: {error} "
            "If it lies elsewhere now, say where: set the environment variable MLFLOW_PYFUNC_INFERENCE_CONFIG to "
            '{"backbone_path": "/path/to/the/model"}.'
        ) from None
    return DecoderModel.load(folder, backbone)
